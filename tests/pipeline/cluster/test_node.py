"""A node's cameras by what the coordinator tells it: real sources, the real runtime, real files."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.cluster import node as node_module
from nightday.pipeline.cluster.fence import Fence
from nightday.pipeline.cluster.messages import Beat, Part, Report, SharedFolder
from nightday.pipeline.cluster.node import NodeRunner
from nightday.pipeline.cluster.shared import marked
from nightday.pipeline.config.load import LoadedConfig
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.event_log import name_of
from nightday.pipeline.outputs.mp4.recordings import recorded
from nightday.pipeline.serving.setup import Setup
from tests.support.clips import make_clip
from tests.support.media_helpers import ffmpeg_complaints, packet_pts

WAIT = 30.0


class Steered:
    """A node runner, told parts as a coordinator tells them."""

    def __init__(self) -> None:
        self.loaded: list[Config] = []
        self.fault: Exception | None = None
        self.build_fault: Exception | None = None
        self.lease_until = [float("inf")]
        self.now = [0.0]
        self.fence = Fence(lambda: self.now[0])
        self.runner = NodeRunner(
            load=self._load,
            build=self._build,
            fence=self.fence,
            lease_clock=lambda: self.now[0],
        )
        self.building = threading.Event()
        self.built = threading.Event()
        self.built.set()
        self.learnt: SharedFolder | None = None
        self._version = 0
        self._rest: dict[str, Any] = {"engine": {}, "learning": {}}

    def _load(self, loaded: LoadedConfig) -> Setup:
        self.loaded.append(loaded.config)
        if self.fault is not None:
            raise self.fault
        return Setup(loaded.config, {})

    def _build(self, loaded: LoadedConfig, sizes: Mapping[str, tuple[int, int]]) -> Setup:
        self.building.set()
        assert self.built.wait(WAIT)
        if self.build_fault is not None:
            raise self.build_fault
        return Setup(loaded.config, {})

    def serving(self, name: str) -> str:
        """The model of a camera in what was loaded last."""
        return next(str(one.model) for one in self.loaded[-1].cameras if one.name == name)

    def tell(self, epochs: dict[str, int], **cameras: dict[str, Any]) -> Report:
        self._version += 1
        entries = {
            name: {"name": name, "url": "clip.mp4", "loop": True, "translate": "never"} | values
            for name, values in cameras.items()
        }
        part = Part(self._version, "cameras.yaml", Path.cwd(), entries, epochs, self._rest, self.learnt)
        return self.runner.beat(Beat(self.lease_until[0], part))

    def until(self, holds: Callable[[Report], bool]) -> Report:
        deadline = time.monotonic() + WAIT
        while not holds(report := self.runner.beat(Beat(self.lease_until[0]))):
            assert time.monotonic() < deadline, report
            threading.Event().wait(0.02)
        return report


def states(report: Report) -> dict[str, str]:
    return {camera.name: camera.state for camera in report.cameras}


def passed(report: Report, name: str) -> int:
    return next((one.stats.passed for one in report.cameras if one.name == name), 0)


@pytest.fixture
def steered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steered]:
    monkeypatch.chdir(tmp_path)
    make_clip(Path("clip.mp4"), 40)
    steered = Steered()
    yield steered
    steered.built.set()
    steered.runner.drain()


def out(name: str) -> dict[str, Any]:
    return {"outputs": [f"out/{name}/%Y.mp4"]}


def files(name: str) -> list[str]:
    return sorted(one.name for one in recorded(Path("out", name, "%Y.mp4")))


def test_cameras_run_move_away_and_come_back_under_another_epoch(steered: Steered) -> None:
    first = steered.tell({"a": 1, "b": 2}, a=out("a"), b=out("b"))
    assert first.written == {"a": 1, "b": 2}
    steered.until(lambda report: passed(report, "a") > 3 and passed(report, "b") > 3)
    steered.tell({"b": 2}, b=out("b"))
    # It counts as the node's own until its file is closed.
    report = steered.until(lambda report: "a" not in report.written)
    assert report.written == {"b": 2}
    (name,) = files("a")
    assert name.endswith("-e1.mp4")
    assert not ffmpeg_complaints(Path("out/a", name))
    before = passed(report, "b")
    steered.tell({"a": 5, "b": 2}, a=out("a"), b=out("b"))
    steered.until(lambda report: states(report) == {"a": "playing", "b": "playing"} and len(files("a")) == 2)
    assert [name.rpartition("-")[2] for name in files("a")] == ["e1.mp4", "e5.mp4"]
    report = steered.until(lambda report: passed(report, "b") > before)
    assert len(files("b")) == 1  # it was never touched
    final = steered.runner.drain()
    assert final.problem is None
    assert {path.name for path in final.files} == {*files("a"), *files("b")}
    assert all(packet_pts(path) for path in final.files)


def test_what_happens_is_told_until_it_is_taken_and_a_cameras_end_before_it_is_let_go(
    steered: Steered,
) -> None:
    steered.tell({"a": 1, "b": 2}, a=out("a"), b=out("b"))
    steered.until(lambda report: passed(report, "a") > 3)
    first = steered.runner.report().happened
    assert [one.number for one in first] == [*range(1, len(first) + 1)]
    half = len(first) // 2
    report = steered.runner.beat(Beat(steered.lease_until[0], told_to=half))
    assert report.happened[: len(first) - half] == first[half:]
    steered.tell({"b": 2}, b=out("b"))
    report = steered.until(lambda report: "a" not in report.written)
    names = [name_of(one.event) for one in report.happened if one.event.camera == "a"]
    assert {"camera_stopped", "output_closed", "file_finished"} <= {*names}
    final = steered.runner.drain()
    assert {name_of(one.event) for one in final.happened if one.event.camera == "b"} >= {"camera_stopped"}


def test_without_the_lease_nothing_is_written_and_with_it_again_all_goes_on(steered: Steered) -> None:
    steered.lease_until[0] = 5.0
    steered.tell({"a": 1}, a={**out("a"), "snapshot": "out/a.png"})
    steered.until(lambda report: passed(report, "a") > 3 and bool(files("a")))
    steered.now[0] = 5.0
    dropped = "no_lease"

    def count(report: Report) -> int:
        return next(one.stats.dropped.get(dropped, 0) for one in report.cameras)

    steered.until(lambda report: count(report) > 2)
    size = Path("out/a", files("a")[0]).stat().st_size
    so_far = count(steered.runner.report())
    steered.until(lambda report: count(report) > so_far + 10)
    assert Path("out/a", files("a")[0]).stat().st_size == size
    steered.lease_until[0] = 100.0
    steered.until(lambda report: Path("out/a", files("a")[0]).stat().st_size > size)


def test_a_part_without_cameras_ends_the_run_and_the_next_begins_another(steered: Steered) -> None:
    steered.tell({"a": 1}, a=out("a"))
    steered.until(lambda report: passed(report, "a") > 3)
    steered.tell({})
    report = steered.until(lambda report: not report.written)
    assert report.cameras == ()
    steered.tell({"a": 2}, a=out("a"))
    steered.until(lambda report: passed(report, "a") > 3)
    assert [name.rpartition("-")[2] for name in files("a")] == ["e1.mp4", "e2.mp4"]


def test_a_camera_that_cannot_run_here_hurts_no_other_and_is_tried_again(
    steered: Steered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "TRY_AGAIN", 0.2)
    steered.tell({"a": 1, "b": 2}, a=out("a"), b={**out("b"), "model": "missing.pt", "translate": "always"})
    report = steered.until(lambda report: passed(report, "a") > 3)
    assert report.refused.keys() == {"b"}
    assert "missing.pt" in report.refused["b"]
    assert states(report) == {"a": "playing"}
    os.rename("clip.mp4", "missing.pt")
    make_clip(Path("clip.mp4"), 40)
    steered.fault = OSError(28, "No space left on device")  # the model is there, but something else is not
    report = steered.until(lambda report: "No space" in report.refused.get("b", ""))
    assert passed(report, "a") > 3


def test_a_folder_that_is_missing_is_named(steered: Steered) -> None:
    entries = {"a": {"name": "a", "url": "clip.mp4", "translate": "never"}}
    part = Part(1, "cameras.yaml", Path("/nowhere"), entries, {"a": 1}, {})
    steered.runner.beat(Beat(float("inf"), part))
    report = steered.until(lambda report: bool(report.refused))
    assert "no folder /nowhere here" in report.refused["a"]


def test_a_file_that_has_ended_stays_so_while_others_come(steered: Steered) -> None:
    steered.tell({"a": 1}, a={**out("a"), "loop": False, "pace": "fast"})
    report = steered.until(lambda report: states(report) == {"a": "finished"})
    assert passed(report, "a") == 25
    steered.tell({"a": 1, "b": 2}, a={**out("a"), "loop": False, "pace": "fast"}, b=out("b"))
    report = steered.until(lambda report: passed(report, "b") > 3)
    assert states(report) == {"a": "finished", "b": "playing"}
    assert len(files("a")) == 1


def test_a_file_that_was_changed_after_its_end_is_played_again(steered: Steered) -> None:
    film = {"loop": False, "pace": "fast"}
    steered.tell({"a": 1}, a={**out("a"), **film})
    steered.until(lambda report: states(report) == {"a": "finished"})
    steered.tell({"a": 1}, a={**out("again"), **film})
    steered.until(lambda report: states(report) == {"a": "finished"} and len(files("again")) == 1)


def test_parts_that_follow_each_other_at_once_end_with_the_last(steered: Steered) -> None:
    for number in range(1, 6):
        steered.tell({"a": 1, f"b{number}": 1 + number}, **{"a": out("a"), f"b{number}": out("b")})
    report = steered.until(lambda report: passed(report, "b5") > 3 and report.written.keys() == {"a", "b5"})
    assert states(report) == {"a": "playing", "b5": "playing"}
    assert len(files("a")) == 1


def test_a_new_model_serves_once_its_engine_is_there_and_holds_up_no_other_camera(steered: Steered) -> None:
    for name in ("1.pt", "2.pt"):
        Path(name).touch()
    steered.tell({"a": 1}, a={**out("a"), "model": "1.pt"})
    steered.until(lambda report: passed(report, "a") > 3)
    steered.built.clear()
    steered.tell({"a": 1}, a={**out("a"), "model": "2.pt"})
    assert steered.building.wait(WAIT)
    assert steered.serving("a") == "1.pt"
    steered.tell({"a": 1, "b": 2}, a={**out("a"), "model": "2.pt"}, b={**out("b"), "model": "2.pt"})
    steered.until(lambda report: passed(report, "b") > 3)
    assert (steered.serving("a"), steered.serving("b")) == ("1.pt", "2.pt"), (
        "what begins here has its own at once"
    )
    steered.built.set()
    steered.until(lambda report: steered.serving("a") == "2.pt")
    steered.until(lambda report: states(report) == {"a": "playing", "b": "playing"})
    assert len(files("a")) == 1  # it was never begun anew


def test_a_model_whose_engine_cannot_be_built_does_not_serve(steered: Steered) -> None:
    for name in ("1.pt", "2.pt"):
        Path(name).touch()
    steered.tell({"a": 1}, a={**out("a"), "model": "1.pt"})
    steered.until(lambda report: passed(report, "a") > 3)
    steered.built.clear()
    steered.tell({"a": 1}, a={**out("a"), "model": "2.pt"})
    assert steered.building.wait(WAIT)
    loads, steered.building = len(steered.loaded), threading.Event()
    steered.build_fault = OSError(28, "No space left on device")
    steered.built.set()

    def failed(report: Report) -> bool:
        return any(name_of(one.event) == "engine_failed" for one in report.happened)

    report = steered.until(failed)
    assert any("No space left" in getattr(one.event, "detail", "") for one in report.happened)
    steered.until(lambda report: len(steered.loaded) > loads)
    assert steered.serving("a") == "1.pt"
    assert not steered.building.is_set(), "it is not built again and again"


def test_what_cameras_learn_is_had_where_the_folder_is_the_coordinators(
    steered: Steered, tmp_path: Path
) -> None:
    folder = tmp_path / "learning"
    steered.learnt = marked(folder)
    (folder / "1.pt").touch()
    own, general = {"model": str(folder / "1.pt")}, {"collect": {"folder": str(folder / "b")}}
    steered.tell({"a": 1, "b": 2}, a=own, b=general)
    report = steered.until(lambda report: passed(report, "a") > 3 and passed(report, "b") > 3)
    assert report.apart is None
    assert steered.serving("a") == str(folder / "1.pt")
    assert steered.loaded[-1].cameras[1].collect is not None
    # The same path elsewhere is another folder.
    steered.learnt = SharedFolder(folder, "what another machine wrote")
    steered.tell({"a": 3, "b": 2}, a=own, b=general)
    report = steered.until(lambda report: report.apart is not None and "a" in report.refused)
    assert report.refused.keys() == {"a"}
    assert str(folder) in report.refused["a"]
    assert "set learning.folder" in report.refused["a"]
    assert steered.loaded[-1].cameras[0].collect is None
    # The disk of the coordinator cannot be written: nobody learns.
    steered.learnt = SharedFolder(folder, "")
    steered.tell({"b": 2}, b=general)
    report = steered.until(lambda report: "cannot be written" in (report.apart or ""))
