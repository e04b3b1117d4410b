"""``nightday-stream --plan``: what it prints, what it keeps, and its faults in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.cli import main
from nightday.pipeline.cluster.planning import kept, report, simulation
from nightday.pipeline.cluster.planning.profile import Profile
from tests.pipeline.cluster.planning.profiles import flat, made_up
from tests.support.clips import make_clip
from tests.support.engines import EngineStub


class Measured:
    """Stands in for measuring, which takes half a minute; gives ``profile``."""

    def __init__(self) -> None:
        self.times = 0
        self.profile = made_up()

    def __call__(self, engine: object, model: str, *, max_batch: int, say: Callable[[str], None]) -> Profile:
        self.times += 1
        say("measuring pictures of 352x288")
        return self.profile


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stand_in = Measured()
    monkeypatch.setattr(kept, "measure", stand_in)
    monkeypatch.setattr(report, "SIZES", ((352, 288),))
    monkeypatch.setattr(simulation, "FRAMES", 600)
    monkeypatch.setattr(simulation, "SHORTEST", 1.0)
    monkeypatch.setattr(kept, "load_engine", lambda *asked, **more: EngineStub())
    return stand_in


def plan_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["--plan", "--json", *arguments]) == 0
    plan: dict[str, Any] = json.loads(capsys.readouterr().out)
    return plan


def write(*cameras: str, extra: str = "") -> None:
    Path("cameras.yaml").write_text("cameras:\n" + "".join(f"  - {camera}\n" for camera in cameras) + extra)


def test_the_table_says_how_many_cameras_of_which_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plan"]) == 0
    said = capsys.readouterr()
    assert "measuring pictures of 352x288" in said.err
    rows = re.findall(
        r"^(\d+x\d+) +(\d+) +(recorded|restreamed) +(\d+) +(\d+) +(\d+) +(\d+)$", said.out, re.M
    )
    assert len(rows) == 4
    table = {row[:3]: [int(count) for count in row[3:]] for row in rows}
    busy, quiet, half, day = table["352x288", "10", "recorded"]
    # 13.1, 5.1 and 3.6 ms a frame, ten times a second, of two processors.
    assert busy == pytest.approx(2 / 0.131, rel=0.1)
    assert quiet == pytest.approx(2 / 0.051, rel=0.1)
    assert day == pytest.approx(2 / 0.036, rel=0.1)
    assert busy < half < day
    assert table["352x288", "25", "recorded"][0] == pytest.approx(busy * 10 / 25, abs=1)


def test_json_says_the_same_and_more_machines_carry_more(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(capsys, "--nodes", "3", "--budget", "100")
    assert plan["budget_ms"] == 100
    assert plan["machines"] == 4
    for kind in plan["kinds"]:
        for carried in kind["carried"].values():
            assert carried["all_machines"] == 4 * carried["one_machine"]
            assert carried["p95_ms"] is None or carried["p95_ms"] <= 100


def test_what_was_measured_once_is_kept(capsys: pytest.CaptureFixture[str], measured: Measured) -> None:
    first = plan_of(capsys)
    measured.profile = made_up(decode=flat(1.0))
    assert plan_of(capsys) == first
    assert measured.times == 1
    # Another setting of the engine may make it another engine.
    write(
        '{name: gate, url: "rtsp://10.0.0.5/s", outputs: ["udp://127.0.0.1:9"]}',
        extra="engine: {max_batch: 4}\n",
    )
    plan_of(capsys, "--cameras", "cameras.yaml")
    assert measured.times == 2
    (one, _) = sorted(Path("cache/nightday-stream/plans").glob("*.json"))
    one.write_text("{")
    plan_of(capsys)
    plan_of(capsys, "--cameras", "cameras.yaml")
    assert measured.times == 3


def test_each_camera_is_told_its_cost_and_whether_all_fit(capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(Path("clip.mp4"), 20, size=(96, 64), frames=10)
    write(
        "{name: clip, url: clip.mp4, outputs: ['out/%H%M%S.mp4', 'udp://127.0.0.1:9']}",
        "{name: gate, url: 'rtsp://10.0.0.5/s', outputs: ["
        "'out/g%H%M%S.mp4', {to: 'udp://127.0.0.1:10', view: pair, fps: 5}]}",
        "{name: yard, url: 'rtsp://u:Zk9q7Wx2@10.0.0.6/s', translate: never, outputs: ['out/y%H%M%S.mp4']}",
    )
    plan = plan_of(capsys, "--cameras", "cameras.yaml", "--assume", "1280x720@10")
    clip, gate, yard = plan["cameras"]
    assert (clip["width"], clip["height"], clip["fps"], clip["assumed"]) == (96, 64, 25, False)
    # One encoder, two outputs.
    assert clip["processors"] == pytest.approx(25 * (0.001 + 0.01 + 0.002 + 0.0002), abs=1e-3)
    assert (gate["width"], gate["height"], gate["fps"], gate["assumed"]) == (1280, 720, 10, True)
    assert gate["processors"] == pytest.approx(10 * (0.001 + 0.01 + 0.0021) + 5 * 0.0021, abs=1e-3)
    assert yard["processors"] == pytest.approx(10 * (0.001 + 0.0005 + 0.0021), abs=1e-3)
    assert plan["fit"]
    assert plan["what_helps"] == []
    assert main(["--plan", "--cameras", "cameras.yaml", "--assume", "1280x720@10"]) == 0
    said = capsys.readouterr()
    assert "All fit on this machine" in said.out
    assert "1280x720*" in said.out
    assert "Zk9q7Wx2" not in said.out + said.err


def test_what_does_not_fit_is_said_with_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    write(*(f"{{name: c{n}, url: 'rtsp://10.0.0.{n}/s', outputs: ['out/{n}-%H%M%S.mp4']}}" for n in range(9)))
    assert main(["--plan", "--cameras", "cameras.yaml"]) == 0
    said = capsys.readouterr().out
    # 25 · 13.1 ms each, of two processors.
    assert (
        "They do not fit on this machine: they take 2.95 of 2 processors; the processors are used up." in said
    )
    assert "2 machines like this one; or at most 15 frames a second from each camera" in said
    plan = plan_of(capsys, "--cameras", "cameras.yaml", "--nodes", "1")
    assert plan["fit"]
    assert {camera["machine"] for camera in plan["cameras"]} == {"machine 1", "machine 2"}


def test_detection_is_said_not_to_be_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write("{name: gate, url: 'rtsp://10.0.0.5/s', detect: nightday.none:none}")
    assert main(["--plan", "--cameras", "cameras.yaml"]) == 0
    assert "gate: detection is not counted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--plan", "--demo"), "argument --plan: not allowed with argument --demo"),
        (("--plan", "--budget", "0"), "'0' is no number of milliseconds above 0"),
        (("--plan", "--nodes", "-1"), "'-1' is no number of machines from 0 to 10000"),
        (("--demo", "--json"), "argument --json: belongs to --plan"),
        (("--plan", "--assume", "large"), "--assume large: must be a size and a rate, such as 1280x720@15"),
        (("--plan", "--cameras", "none.yaml"), "none.yaml: cannot be read: No such file or directory"),
    ],
)
def test_faults_are_told_in_a_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(said)


def test_a_source_that_is_no_video_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("clip.mp4").write_bytes(b"not a video")
    write("{name: clip, url: clip.mp4, outputs: ['out/%H%M%S.mp4']}")
    assert main(["--plan", "--cameras", "cameras.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clip: ")
    assert "cannot be read" in line
