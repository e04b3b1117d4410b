"""Adding a camera to the configuration's file: nothing else in it changes, and what is wrong changes nothing."""

from __future__ import annotations

import os
import random
import re
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightday.pipeline.config.add_camera import CameraAdder
from nightday.pipeline.config.insert_camera import with_camera
from nightday.pipeline.config.load import LoadedConfig, load_config
from nightday.pipeline.core.control import NewCamera
from nightday.pipeline.core.state_folder import secrets_folder
from tests.pipeline.config.documents import SECRET

NEW = NewCamera("porch", "rtsp://10.0.0.9/stream1")
WRITTEN = """\
# Our cameras. Do not touch!
http: {host: 127.0.0.1, port: 8080}  # the page

cameras:
    # the gate, by the road
  - name: gate                # old
    url: "rtsp://10.0.0.5/stream1"

    # and its outputs
    outputs:
      - out/gate/%H.mp4   # an hour each
  # the yard
  - {name: yard, url: rtsp://10.0.0.6/x}   # the last

# What all have in common
defaults:
  stall_timeout: 7
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def checked(file: str) -> LoadedConfig:
    return load_config(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cameras.yaml"
    path.write_text(WRITTEN)
    path.chmod(0o640)
    return path


def adder(file: Path) -> CameraAdder:
    return CameraAdder(str(file), check=checked)


def test_it_is_put_behind_the_last_and_every_other_line_stays(file: Path) -> None:
    added = adder(file).add(NewCamera("porch", "rtsp://10.0.0.9/stream1", record=True))
    lines, before = file.read_text().splitlines(), WRITTEN.splitlines()
    at = before.index("  - {name: yard, url: rtsp://10.0.0.6/x}   # the last") + 1
    assert lines[:at] + lines[at + 4 :] == before
    assert lines[at : at + 4] == [
        '  - name: "porch"',
        '    url: "rtsp://10.0.0.9/stream1"',
        "    outputs:",
        '      - "out/{name}/%Y%m%d-%H%M%S.mp4"',
    ]
    assert (added.file, added.secrets) == (file, ())
    assert added.backup.read_text() == WRITTEN
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, added.backup)] == [0o640, 0o640]
    cameras = checked(str(file)).config.cameras
    assert [camera.name for camera in cameras] == ["gate", "yard", "porch"]
    assert cameras[2].stall_timeout == 7
    assert sorted(path.name for path in file.parent.iterdir()) == ["cameras.yaml", "cameras.yaml.bak"]


@pytest.mark.parametrize(
    "text",
    [
        "cameras:\n- name: a\n  url: rtsp://h/a\n",
        "cameras:\n- name: a\n  url: rtsp://h/a",
        "cameras:\n    -   name: a\n        url: rtsp://h/a\n# end\n",
        "defaults: {}\ncameras:\n  -\n    name: a\n    url: >-\n      rtsp://h/a\nhttp: {port: 1}\n",
        "cameras:\r\n  - name: a\r\n    url: rtsp://h/a\r\n\r\nhttp: {port: 1}\r\n",
        "---\ncameras:\n  - name: a\n    url: |-\n      rtsp://h/a\n\n\n# end\n...\n",
        "cameras: # none yet\n",
        "cameras: []   # none yet\nhttp: {port: 1}\n",
        "http: {port: 1}",
        "# ü\ncameras:\n  - name: a\n    url: 'rtsp://h/a'   # ü\n    detect: {model: m,\n     on: both}\nhttp: {}\n",
    ],
)
def test_however_the_list_is_written_the_values_before_are_the_same_after(text: str) -> None:
    after = with_camera(text, NEW)
    old, new = yaml.safe_load(text), yaml.safe_load(after)
    assert new == old | {"cameras": [*(old.get("cameras") or []), {"name": NEW.name, "url": NEW.url}]}
    kept = [line.replace("[]", "") for line in re.split("\r?\n", text) if line.strip()]
    rest = iter(re.split("\r?\n", after))
    assert all(
        any(line.split() == other.split() for other in rest) for line in kept
    )  # all there, in their order
    assert ("\r\n" in after) == ("\r\n" in text)
    assert after.count("\n") == after.count("\r\n") or "\r" not in text


def made_up(draw: random.Random) -> str:
    """A configuration of some cameras with comments and empty lines anywhere between lines."""
    indent, wide = draw.choice([0, 2, 4]), draw.choice([1, 3])
    lines = ["cameras:"]
    for number in range(draw.randrange(1, 5)):
        blanks = " " * (indent + 1 + wide)
        lines.append(f"{' ' * indent}-{' ' * wide}name: c{number}")
        lines.append(f"{blanks}url: {draw.choice(['', chr(39)])}rtsp://h/{number}".ljust(8))
        lines[-1] += "'" if "'" in lines[-1] else ""
        if draw.random() < 0.5:
            lines += [
                f"{blanks}outputs:",
                f"{blanks}- a.mp4",
                f"{blanks}- {{to: b.mp4,",
                f"{blanks}   view: pair}}",
            ]
    other = ["http: {port: 1}", "defaults:", "  loop: false"]
    parts = [lines, other] if draw.random() < 0.5 else [other, lines]
    text = []
    for line in [line for part in parts for line in part]:
        if not line.endswith("pair}"):  # within braces no comment
            text += draw.choice([[], [""], ["# a: comment"], [f"{' ' * draw.randrange(8)}# - name: x"]])
        text.append(line + draw.choice(["", "", "   # said"] if not line.endswith(",") else [""]))
    return "\n".join(text) + draw.choice(["", "\n", "\n\n# end\n"])


def test_two_hundred_configurations_with_comments_anywhere() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(200):
        text = made_up(draw)
        after = with_camera(text, NEW)
        old, new = yaml.safe_load(text), yaml.safe_load(after)
        assert new == old | {"cameras": [*old["cameras"], {"name": NEW.name, "url": NEW.url}]}, text
        rest = iter(after.splitlines())
        assert all(line in rest for line in text.splitlines()), text


@pytest.mark.parametrize(
    "text",
    [
        "cameras: [{name: a, url: rtsp://h/a}]\n",
        "{cameras: []}\n",
        "{http: {port: 1}}\n",
        "- name: a\n",
        "defaults: &all\n  - {name: a, url: rtsp://h/a}\ncameras: *all\n",
        "cameras: {a: 1}\n",
    ],
)
def test_what_cannot_be_told_apart_is_left_as_it_is(text: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match="not added: "):
        adder(file).add(NEW)
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == ["cameras.yaml"]


def wrongs() -> dict[str, tuple[NewCamera, str]]:
    return {
        "a name that is taken": (NewCamera("gate", "rtsp://h/x"), "cameras.yaml:14: cameras[2].name"),
        "a name that is none": (NewCamera("a b", "rtsp://h/x"), "cameras.yaml:14: cameras[2].name"),
        "no host": (NewCamera("porch", "rtsp://"), "cameras.yaml:15: cameras[2].url"),
        "a file": (NewCamera("porch", "/etc/passwd"), "only addresses on the network"),
        "a device": (NewCamera("porch", "device:0"), "only addresses on the network"),
        "a secret of the program's": (
            NewCamera("porch", "rtsp://h/${HOME}"),
            "variables cannot be used here",
        ),
        "seconds of nothing": (NewCamera("porch", "http://h/x", -1.0), "cameras.yaml:16: cameras[2].every_s"),
    }


@pytest.mark.parametrize("what", wrongs())
def test_what_is_wrong_is_told_in_one_line_and_changes_nothing(what: str, file: Path) -> None:
    camera, said = wrongs()[what]
    with pytest.raises(ValueError, match="not added: ") as wrong:
        adder(file).add(camera)
    text = str(wrong.value).replace(str(file), "cameras.yaml")
    assert said in text
    assert "\n" not in text
    assert ".cameras.yaml." not in text  # it is told of the file itself, not of the one that was tried
    assert file.read_text() == WRITTEN
    assert [path.name for path in file.parent.iterdir()] == ["cameras.yaml"]


@pytest.mark.parametrize(
    ("url", "written", "kept"),
    [
        (f"rtsp://viewer:{SECRET}@h/s", "rtsp://viewer:${CAMERA_PORCH_PASSWORD}@h/s", [SECRET]),
        (
            f"rtsp://v:a@b/c{SECRET}@10.0.0.5/s",
            "rtsp://v:${CAMERA_PORCH_PASSWORD}@10.0.0.5/s",
            [f"a@b/c{SECRET}"],
        ),
        (f"rtsp://v:%41{SECRET}@h/s", "rtsp://v:${CAMERA_PORCH_PASSWORD}@h/s", [f"A{SECRET}"]),
        (
            f"http://h/s?user=v&pwd={SECRET}&x=1",
            "http://h/s?user=${CAMERA_PORCH_SECRET}&pwd=${",
            ["v", SECRET],
        ),
        (f"rtmp://h/app/{SECRET}", "rtmp://h/app/${CAMERA_PORCH_KEY}", [SECRET]),
    ],
)
def test_passwords_go_to_files_of_their_own_and_the_address_is_the_same(
    url: str, written: str, kept: list[str], file: Path, state: Path
) -> None:
    added = adder(file).add(NewCamera("porch", url))
    text = file.read_text()
    assert written in text
    assert SECRET not in text
    assert sorted(path.read_text() for path in added.secrets) == sorted(kept)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in added.secrets)
    assert stat.S_IMODE(secrets_folder().stat().st_mode) == 0o700
    (*_, porch) = checked(str(file)).config.cameras
    again = porch.url.reveal()
    same = {f"rtsp://v:a@b/c{SECRET}@10.0.0.5/s": f"rtsp://v:a%40b%2Fc{SECRET}@10.0.0.5/s"}
    same[f"rtsp://v:%41{SECRET}@h/s"] = f"rtsp://v:A{SECRET}@h/s"
    assert again == same.get(url, url)
    assert SECRET not in str(porch.url)


def test_a_secret_of_a_camera_that_was_not_added_is_not_kept(file: Path, state: Path) -> None:
    with pytest.raises(ValueError, match="not added"):
        adder(file).add(NewCamera("gate", f"rtsp://viewer:{SECRET}@h/s"))
    assert list(state.rglob("*PASSWORD*")) == []


def test_another_camera_of_one_name_has_its_own_secret(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_PORCH_PASSWORD", "another")
    adder(file).add(NewCamera("porch", f"rtsp://viewer:{SECRET}@h/s"))
    assert "${CAMERA_PORCH_2_PASSWORD}" in file.read_text()
    assert SECRET in checked(str(file)).config.cameras[2].url.reveal()


def test_where_the_file_cannot_be_written_it_says_so_before(file: Path, tmp_path: Path) -> None:
    assert adder(file).fault() is None
    assert "no file that could be changed" in str(CameraAdder("/dev/stdin", check=checked).fault())
    assert "no file that could be changed" in str(adder(tmp_path / "gone.yaml").fault())
    if os.geteuid():  # root may write everywhere
        file.chmod(0o440)
        assert "cannot be written" in str(adder(file).fault())
        with pytest.raises(ValueError, match="cannot be written"):
            adder(file).add(NEW)


def test_a_file_that_changes_meanwhile_is_not_overwritten(file: Path) -> None:
    def check(name: str) -> Any:
        if name != str(file):
            file.write_text(WRITTEN + "# somebody edits\n")
        return checked(name)

    with pytest.raises(ValueError, match="was changed meanwhile"):
        CameraAdder(str(file), check=check).add(NEW)
    assert file.read_text() == WRITTEN + "# somebody edits\n"


def test_a_link_stays_one_and_many_at_once_are_all_added(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    one = adder(link)
    threads = [
        threading.Thread(target=one.add, args=(NewCamera(f"c{number}", f"rtsp://h/{number}"),))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    names = [camera.name for camera in checked(str(file)).config.cameras]
    assert sorted(names) == sorted(["gate", "yard", *(f"c{number}" for number in range(8))])
    assert link.is_symlink()
