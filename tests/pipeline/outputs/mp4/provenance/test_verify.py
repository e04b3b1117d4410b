"""Whatever is done to signed recordings is found: 500 random cases, and what is no fault."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.core.events import Notice
from nightday.pipeline.outputs.mp4.limits import Limits
from nightday.pipeline.outputs.mp4.provenance.cli import main
from nightday.pipeline.outputs.mp4.provenance.facts import Facts
from nightday.pipeline.outputs.mp4.provenance.keys import own_key, public_text
from nightday.pipeline.outputs.mp4.provenance.ledger import Ledger
from nightday.pipeline.outputs.mp4.provenance.records import read, record_path
from nightday.pipeline.outputs.mp4.provenance.verify import verify
from nightday.pipeline.outputs.registry import open_output
from tests.pipeline.outputs.encoding.test_mark import made
from tests.support.media_helpers import Events, OutputEvents, WatchedStats, ffmpeg_complaints
from tests.support.rtsp_server import WAIT

CASES = 500


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's key is."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def ledger(
    folder: Path, key: Path, *, name: str = "%Y/%H%M%S.mp4", publish: Callable[[object], None] = print
) -> Ledger:
    return Ledger(template=folder / name, camera="gate", view="day", key=key, publish=publish)


def record(to: Ledger, path: Path, data: bytes) -> None:
    """A recording that is finished and signed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    facts = Facts()
    facts.add(made(0), generated=True)
    to.sign(path, facts)
    assert to.finish(WAIT)


@pytest.fixture
def signed(tmp_path: Path, state: Path, rng: np.random.Generator) -> Path:
    """A folder of recordings of two outputs, in folders by year."""
    folder = tmp_path / "out"
    day, pair = (
        ledger(folder, state / "signing-key.pem"),
        ledger(folder, state / "signing-key.pem", name="p-%H.mp4"),
    )
    for number in range(6):
        record(
            day, folder / f"202{number // 3}" / f"12000{number}.mp4", rng.bytes(int(rng.integers(1, 3000)))
        )
    for number in range(3):
        record(pair, folder / f"p-0{number}.mp4", rng.bytes(int(rng.integers(1, 3000))))
    assert verify(folder).faults == []
    return folder


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def change_a_byte(folder: Path, draw: random.Random) -> None:
    path = draw.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    data = bytearray(path.read_bytes())
    at = draw.randrange(len(data))
    kind = draw.randrange(3)
    if kind == 0:
        data[at] ^= draw.randrange(1, 256)
    elif kind == 1:
        data.insert(at, draw.choice(data[max(0, at - 1) : at + 1] + b" \n0"))
    else:
        del data[at]
    path.write_bytes(data)


def remove(folder: Path, draw: random.Random) -> None:
    """A recording, its record, both, or the end of a chain."""
    path, end = draw.choice(recordings(folder)), draw.choice(sorted(folder.glob("provenance-*")))
    ways = [[path], [record_path(path)], [path, record_path(path)], [end]]
    for one in draw.choice(ways):
        one.unlink()


def swap(folder: Path, draw: random.Random) -> None:
    """Two recordings, with or without their records."""
    first, second = draw.sample(recordings(folder), 2)
    pairs = [(first, second)]
    if draw.random() < 0.5:
        pairs.append((record_path(first), record_path(second)))
    for one, other in pairs:
        aside = folder / "aside"
        one.rename(aside)
        other.rename(one)
        aside.rename(other)


def rename(folder: Path, draw: random.Random) -> None:
    """A recording, with or without its record, in its folder or to another."""
    path = draw.choice(recordings(folder))
    target = (
        draw.choice([path.parent, folder / "2020", folder / "2021", folder]) / f"x{draw.randrange(1000)}.mp4"
    )
    if draw.random() < 0.7:
        record_path(path).rename(record_path(target))
    path.rename(target)


def copy_over(folder: Path, draw: random.Random) -> None:
    """A recording and its record in place of another."""
    first, second = draw.sample(recordings(folder), 2)
    shutil.copy(first, second)
    if draw.random() < 0.7:
        shutil.copy(record_path(first), record_path(second))


WAYS = (change_a_byte, change_a_byte, remove, swap, rename, copy_over)


@pytest.mark.slow
def test_five_hundred_alterations_are_all_found(signed: Path, state: Path, rng: np.random.Generator) -> None:
    draw = random.Random(int(rng.integers(2**32)))
    key = public_text(own_key(state / "signing-key.pem"))
    before, missed = contents(signed), []
    for number in range(CASES):
        way = draw.choice(WAYS)
        way(signed, draw)
        after = contents(signed)
        if before != after and not verify(signed, public_key=draw.choice([None, key])).faults:
            missed.append((number, way.__name__))
        for path in after.keys() - before.keys():
            path.unlink()
        for path, data in before.items():
            if after.get(path) != data:
                path.write_bytes(data)
    assert missed == []
    assert verify(signed).faults == []


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (lambda one, other: one.write_bytes(b"x"), ["2020/120001.mp4: was altered"]),
        (
            lambda one, other: unlink_both(one),
            [": recording number 1 was removed (after 120000.mp4, before 120002.mp4)"],
        ),
        (
            lambda one, other: one.unlink(),
            ["2020/120001.mp4: was removed or renamed; its record is still here"],
        ),
        (
            lambda one, other: swap_two(one, other),
            [
                "2020/120001.mp4: holds what was recorded as 2021/120005.mp4",
                "2021/120005.mp4: holds what",
            ],
        ),
        (
            lambda one, other: (
                record_path(one).rename(record_path(one.with_stem("z"))),
                one.rename(one.with_stem("z")),
            ),
            ["2020/z.mp4: was renamed; it was recorded as 2020/120001.mp4"],
        ),
        (lambda one, other: record_path(one).write_text("{}"), ["2020/120001.mp4.json: was altered"]),
        (
            lambda one, other: unlink_both(other),
            [": recording number 5 was removed (after 120004.mp4)"],
        ),
    ],
)
def test_it_says_what_was_done(signed: Path, way: Callable[[Path, Path], object], said: list[str]) -> None:
    way(signed / "2020" / "120001.mp4", signed / "2021" / "120005.mp4")
    faults = verify(signed).faults
    for words in said:
        assert any(words in fault for fault in faults), faults


def unlink_both(path: Path) -> None:
    path.unlink()
    record_path(path).unlink()


def swap_two(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def test_an_end_that_was_put_back_with_the_last_recording_removed_is_found_while_its_record_is_there(
    signed: Path, state: Path
) -> None:
    (end,) = (path for path in signed.glob("provenance-*") if read(path.read_bytes())["next"] == 6)  # type: ignore[index]
    before = end.read_bytes()
    day = ledger(signed, state / "signing-key.pem")
    for number in (6, 7):
        record(day, signed / "2022" / f"12000{number}.mp4", b"later")
    assert verify(signed).faults == []
    (signed / "2022" / "120006.mp4").unlink()
    record_path(signed / "2022" / "120006.mp4").unlink()
    end.write_bytes(before)
    assert any("comes after the chain's end" in fault for fault in verify(signed).faults)


def test_whoever_signs_all_anew_has_another_key(signed: Path, state: Path, tmp_path: Path) -> None:
    key = public_text(own_key(state / "signing-key.pem"))
    for path in [*signed.rglob("*.json")]:
        path.unlink()
    forger = ledger(signed, tmp_path / "other.pem")
    for path in recordings(signed):
        facts = Facts()
        forger.sign(path, facts)
    assert forger.finish(WAIT)
    assert verify(signed).faults == []
    faults = verify(signed, public_key=key).faults
    assert any("was signed by another key" in fault for fault in faults)


def test_a_kill_between_a_record_and_the_end_of_its_chain_is_no_fault(signed: Path, state: Path) -> None:
    day = ledger(signed, state / "signing-key.pem")
    (end,) = (path for path in signed.glob("provenance-*") if read(path.read_bytes())["next"] == 6)  # type: ignore[index]
    before = end.read_bytes()
    record(day, signed / "2022" / "120006.mp4", b"new")
    end.write_bytes(before)
    (signed / "2022" / "120007.mp4").write_bytes(b"being written")
    report = verify(signed)
    assert report.faults == []
    assert any("does not name it yet" in note for note in report.notes)
    assert any("120007.mp4: not signed; it is being written, " in note for note in report.notes)


def test_what_retention_deletes_is_no_fault_and_the_chain_goes_on_after_a_restart(
    signed: Path, state: Path
) -> None:
    day = ledger(signed, state / "signing-key.pem")
    for number in (0, 1, 3):
        path = signed / f"202{number // 3}" / f"12000{number}.mp4"
        path.unlink()
        day.forget(path)
        assert not record_path(path).exists()
    assert day.finish(WAIT)
    assert verify(signed).faults == []
    again = ledger(signed, state / "signing-key.pem")
    record(again, signed / "2022" / "120009.mp4", b"new")
    assert read(record_path(signed / "2022" / "120009.mp4").read_bytes())["number"] == 6  # type: ignore[index]
    assert verify(signed).faults == []
    assert len(list(signed.glob("provenance-*"))) == 2


def test_a_chain_whose_end_was_altered_is_left_as_it_is_and_a_new_one_begun(
    signed: Path, state: Path
) -> None:
    for end in signed.glob("provenance-*"):
        end.write_bytes(end.read_bytes().replace(b'"next": 6', b'"next": 5'))
    record(ledger(signed, state / "signing-key.pem"), signed / "2022" / "120009.mp4", b"new")
    assert len(list(signed.glob("provenance-*"))) == 3
    assert any("provenance-" in fault and "was altered" in fault for fault in verify(signed).faults)


def test_the_key_is_made_once_and_is_its_owners_alone(state: Path) -> None:
    path = state / "signing-key.pem"
    first = public_text(own_key(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_text(own_key(path)) == first
    assert [each.name for each in state.iterdir()] == ["signing-key.pem"]
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(ValueError, match=r"\w"):
        own_key(path)


def test_a_disk_that_is_full_is_told_once_and_all_is_signed_later(tmp_path: Path, state: Path) -> None:
    events = Events()
    folder = tmp_path / "out"
    one = ledger(folder, state / "signing-key.pem", publish=events)
    state.write_text("in the way")  # no key can be made
    for number in range(3):
        path = folder / "2020" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
        one.sign(path, Facts())
        assert not one.finish(WAIT)
    (notice,) = events
    assert isinstance(notice, Notice)
    assert (notice.name, notice.level) == ("signing_failed", "warning")
    assert notice.detail.endswith(f"({state})")
    state.unlink()
    record(one, folder / "2020" / "3.mp4", b"more")
    report = verify(folder)
    assert (report.faults, report.recordings, report.notes) == ([], 4, [])


@pytest.fixture
def recorded(tmp_path: Path, state: Path) -> Path:
    """What an output of a camera has recorded and signed, old files deleted."""
    template = tmp_path / "out" / "%Y%m%d" / "%H%M%S.mp4"
    one = open_output(
        str(template),
        camera="gate",
        stats=WatchedStats(),
        publish=OutputEvents(),
        segment_seconds=2,
        retention=Limits(gigabytes=30e-6),
        signing_key=state / "signing-key.pem",
    )
    never = threading.Event()
    for number in range(500):
        assert one.put_wait(made(number, generated=number > 100), cancelled=never)
    assert one.close(WAIT)
    return tmp_path / "out"


def test_recordings_of_a_camera_are_signed_and_those_deleted_are_not_missed(recorded: Path) -> None:
    files = recordings(recorded)
    assert 1 < len(files) < 10
    assert [path.name for path in recorded.rglob("*.mp4.json")] != []
    report = verify(recorded)
    assert (report.faults, report.notes, report.recordings) == ([], [], len(files))
    said = read(record_path(files[-1]).read_bytes())
    assert said is not None
    assert (said["camera"], said["view"], said["pictures"], said["generated"]) == ("gate", "day", 50, 50)
    assert said["made_by"] == [{"engine": "openvino int8", "model": "général.pt", "model_digest": "3f" * 32}]
    assert said["begins"] < said["ends"]
    assert ffmpeg_complaints(files[-1]) == ""


def test_the_command(signed: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(signed)]) == 0
    assert capsys.readouterr().out == "9 recordings: nothing was altered\n"
    assert main(["--public-key"]) == 0
    key = capsys.readouterr().out.strip()
    assert main([str(signed), "--key", key]) == 0
    assert main([str(signed), "--key", "0" * 64]) == 1
    capsys.readouterr()
    (signed / "2020" / "120001.mp4").write_bytes(b"other")
    assert main([str(signed)]) == 1
    out = capsys.readouterr().out
    assert out == "2020/120001.mp4: was altered\n9 recordings: 1 fault\n"
    for wrong in ([], [str(signed / "nowhere")], [str(signed), "--key", "xyz"]):
        with pytest.raises(SystemExit) as exit_:
            main(wrong)
        assert exit_.value.code == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_folder_where_nothing_is_signed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert verify(tmp_path).faults == ["nothing here is signed"]


def test_the_command_needs_neither_pytorch_nor_ffmpeg(signed: Path) -> None:
    script = (
        "import sys\nfrom nightday.pipeline.outputs.mp4.provenance.cli import main\n"
        "print(main(sys.argv[1:]), *sorted({'av', 'torch', 'cv2', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(signed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=os.environ)
    assert done.stdout.splitlines()[-1] == "0"


def test_no_other_way_to_write_a_record_is_taken_for_it(signed: Path) -> None:
    path = record_path(recordings(signed)[0])
    data = path.read_bytes()
    assert read(data) is not None
    content = json.loads(data)
    again = json.dumps(content, indent=1, sort_keys=True) + "\n"
    assert again.encode() == data
    for other in (
        json.dumps(content) + "\n",
        again + " ",
        again.replace(content["signature"], content["signature"].upper()),
        again.replace(content["signature"], content["signature"][:2] + " " + content["signature"][2:]),
        again.replace('"number"', '"number": 1,\n "number"'),
        "[" * 100_000,
    ):
        assert read(other.encode()) is None
