"""The whole line in one process: files and a real RTSP server in, recordings and a restream out."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.detection import DetectConfig
from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.schema import Config, HttpConfig
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.monitoring.listening import WebError
from nightday.pipeline.outputs.mp4.provenance.verify import verify
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from nightday.pipeline.outputs.output import Output
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision import endpoint, runtime, shutdown
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import run
from nightday.pipeline.translation.batcher import Batcher, Taken
from nightday.pipeline.translation.worker import Worker
from tests.support.clips import make_clip
from tests.support.engines import DetectorStub, EngineStub
from tests.support.media_helpers import camera_pts, clip_pts, ffmpeg_complaints, ffprobe, packet_pts
from tests.support.ports import lasting_port
from tests.support.rtsp_server import WAIT, RtspServer

Pixels = NDArray[np.uint8]
NIGHT, DAY = 30, 200  # luma
FRAMES = 25
MODEL = "model.pt"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of each test, with a checkpoint, a dark clip and a bright one."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_checkpoint(MODEL, NightToDay(GeneratorSettings(blocks=1, width=4)))
    make_clip(Path("night.mp4"), NIGHT)
    make_clip(Path("day.mp4"), DAY)
    return tmp_path


def config(*cameras: dict[str, Any], **engine: Any) -> Config:
    defaults = {"model": MODEL, "pace": "fast"}
    return Config.model_validate({"cameras": [defaults | camera for camera in cameras], "engine": engine})


class Engine(EngineStub):
    """Inverts pictures, and keeps how many frames each call had."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        self.batches.append(len(frames))
        return 255 - frames


class Compiled(Engine):
    """Must be prepared for a size, which takes until it is let go on."""

    def __init__(self, *free: tuple[int, int]) -> None:
        super().__init__()
        self.compiling, self.release = threading.Event(), threading.Event()
        self.sizes = set(free)

    def prepared(self, height: int, width: int) -> bool:
        return (height, width) in self.sizes

    def prepare(self, height: int, width: int) -> None:
        self.compiling.set()
        assert self.release.wait(WAIT)
        self.sizes.add((height, width))

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        assert frames.shape[1:3] in self.sizes
        return super().__call__(frames)


def play(settings: Config, engine: EngineStub | Callable[[Pixels], Pixels], **options: Any) -> Outcome:
    engine = engine if isinstance(engine, EngineStub) else EngineStub(engine)
    return run(settings, engines={Path(MODEL): engine}, **options)


def camera(outcome: Outcome, name: str = "gate") -> CameraStatus:
    return next(status for status in outcome.cameras if status.name == name)


def last_frame(path: Path) -> Pixels:
    with av.open(str(path)) as container:
        *_, frame = container.decode(video=0)
    return np.asarray(frame.to_ndarray(format="rgb24"))


def test_a_file_comes_out_with_every_frame_and_its_pts(folder: Path) -> None:
    engine = Engine()
    settings = config(
        {
            "name": "gate",
            "url": "night.mp4",
            "outputs": ["out/day.mp4"],
            "snapshot": "out/pair.png",
            "background": {"save": "out/bg.png", "every_s": 0.04, "frames": 5},
        }
    )
    outcome = play(settings, engine)
    assert (outcome.cause, outcome.problems, outcome.clean) == ("finished", (), True)
    assert outcome.files == (Path("out/day.mp4"), Path("out/bg.png"), Path("out/pair.png"))
    assert camera_pts(Path("out/day.mp4")) == clip_pts(Path("night.mp4"))
    assert ffmpeg_complaints(Path("out/day.mp4")) == ""
    status = camera(outcome)
    assert (status.state, status.stats.translated, status.stats.dropped) == ("finished", FRAMES, {})
    assert len(engine.batches) == FRAMES
    pair = cv2.imread("out/pair.png")
    assert pair is not None
    assert pair.shape == (48, 128, 3)
    assert pair[:20, :64].mean() < 80
    assert pair[:20, 64:].mean() > 170
    background = cv2.imread("out/bg.png")
    assert background is not None
    assert background.shape == (48, 64, 3)
    assert background.mean() < 80  # of what the camera sees
    for half in (background[:20], background[28:]):
        assert np.ptp(half[..., 0]) == 0


def test_each_output_shows_the_view_that_it_asks_for_and_pairs_are_of_the_same_moment() -> None:
    settings = config(
        {
            "name": "gate",
            "url": "night.mp4",
            "outputs": [
                "out/day.mp4",
                {"to": "out/night.mp4", "view": "night"},
                {"to": "out/pair.mp4", "view": "pair", "size": [256, 96]},
                {"to": "out/few.mp4", "fps": 5},
            ],
        }
    )
    outcome = play(settings, Engine())
    assert (outcome.problems, outcome.clean) == ((), True)
    pts = clip_pts(Path("night.mp4"))
    for name in ("day", "night", "pair"):
        assert camera_pts(Path(f"out/{name}.mp4")) == pts
    few = camera_pts(Path("out/few.mp4"))
    assert set(few) < set(pts)
    assert 5 <= len(few) <= 8  # the clip lasts 1.2 s
    with av.open("out/pair.mp4") as pairs, av.open("out/night.mp4") as nights:
        assert "generated" in pairs.metadata["comment"]
        assert "comment" not in nights.metadata
        for pair, night in zip(pairs.decode(video=0), nights.decode(video=0), strict=True):
            rgb, seen = pair.to_ndarray(format="rgb24"), night.to_ndarray(format="rgb24")
            assert rgb.shape == (96, 256, 3)
            left, right = rgb[8:40, 8:120].astype(int), rgb[8:40, 136:248].astype(int)
            assert abs(left.mean() - seen[4:20, 4:60].mean()) < 4
            assert abs(right.mean() - (255 - left.mean())) < 4


def test_recordings_are_signed_with_the_model_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    outputs = ["out/day.mp4", {"to": "out/night.mp4", "view": "night"}]
    outcome = play(
        config({"name": "gate", "url": "night.mp4", "outputs": outputs, "provenance": True}), Engine()
    )
    assert outcome.problems == ()
    report = verify(Path("out"))
    assert (report.faults, report.notes, report.recordings) == ([], [], 2)
    day, night = (json.loads(Path(f"out/{name}.mp4.json").read_text()) for name in ("day", "night"))
    assert (day["pictures"], day["generated"], night["generated"]) == (FRAMES, FRAMES, 0)
    assert day["made_by"] == [{"model": "stub.pt", "model_digest": "", "engine": "stub fp32"}]
    assert night["made_by"] == []


def test_by_day_frames_pass_at_no_engine_cost_and_without_a_mark() -> None:
    engine = Engine()
    cameras = [
        {"name": name, "url": f"{name}.mp4", "translate": translate, "outputs": [f"{name}-{translate}.mp4"]}
        for name, translate in (("night", "night"), ("day", "night"))
    ]
    outcome = play(config(*cameras), engine)
    night, day = camera(outcome, "night"), camera(outcome, "day")
    assert (night.night, night.stats.translated, night.stats.passed) == (True, FRAMES, 0)
    assert (day.night, day.stats.translated, day.stats.passed) == (False, 0, FRAMES)
    assert sum(engine.batches) == FRAMES  # none of the day's
    assert np.abs(last_frame(Path("day-night.mp4")).astype(int) - last_frame(Path("day.mp4"))).max() < 12
    assert last_frame(Path("night-night.mp4"))[40:, 16:].min() < 60  # the dark ground of its mark


def test_never_needs_no_model_and_always_translates_by_day() -> None:
    engine = Engine()
    never = {"name": "never", "url": "night.mp4", "translate": "never", "model": None}
    recorded = never | {"name": "recorded", "outputs": ["never.mp4"]}
    always = {"name": "always", "url": "day.mp4", "translate": "always", "outputs": ["always.mp4"]}
    outcome = play(config(never, recorded, always), engine)
    assert not ffprobe(Path("never.mp4"), "format_tags=comment")["format"].get("tags")
    assert ffprobe(Path("always.mp4"), "format_tags=comment")["format"]["tags"]["comment"]
    assert camera(outcome, "never").stats.passed == FRAMES
    assert camera(outcome, "never").stats.latency_p50 is not None  # with no output it ends with the loop
    assert camera(outcome, "always").stats.translated == FRAMES
    assert sum(engine.batches) == FRAMES


def test_cameras_of_one_model_share_batches_of_one_size() -> None:
    make_clip(Path("wide.mp4"), NIGHT, size=(96, 48))
    shapes: list[tuple[int, ...]] = []

    def engine(frames: Pixels) -> Pixels:
        shapes.append(frames.shape)
        return frames

    urls = {"a": "night.mp4", "b": "night.mp4", "c": "wide.mp4"}
    outcome = play(config(*({"name": name, "url": url} for name, url in urls.items()), max_batch=2), engine)
    assert [camera(outcome, name).stats.translated for name in urls] == [FRAMES] * 3
    assert {shape[1:] for shape in shapes} == {(48, 64, 3), (48, 96, 3)}
    assert max(shape[0] for shape in shapes) <= 2


def test_an_engine_error_costs_one_camera_its_frames_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    make_clip(Path("bad.mp4"), NIGHT + 60)

    def engine(frames: Pixels) -> Pixels:
        if frames[:, 0, 0].mean(axis=1).max() > NIGHT + 32:
            raise RuntimeError("too bright")
        return frames

    cameras = [{"name": name, "url": f"{name}.mp4", "translate": "always"} for name in ("night", "bad")]
    outcome = play(config(*cameras), engine)
    assert camera(outcome, "night").stats.translated == FRAMES
    assert camera(outcome, "bad").stats.dropped == {"engine_error": FRAMES}
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.getMessage() for record in warnings] == ["bad: the engine failed on a frame: too bright"]


def test_a_file_that_is_no_video_fails_alone() -> None:
    Path("text.mp4").write_text("no video")
    outcome = play(
        config({"name": "text", "url": "text.mp4"}, {"name": "gate", "url": "night.mp4"}), Engine()
    )
    assert outcome.cause == "finished"
    assert camera(outcome).stats.translated == FRAMES
    (problem,) = outcome.problems
    assert problem.startswith("text: failed (decode: ")


def test_an_output_that_cannot_be_written_is_a_problem(folder: Path) -> None:
    settings = config({"name": "gate", "url": "night.mp4", "outputs": ["out/day.mp4", "good.mp4"]})
    (folder / "out").write_text("a file where the folder was to be")
    outcome = play(settings, Engine())
    assert camera_pts(Path("good.mp4")) == clip_pts(Path("night.mp4"))
    assert outcome.files == (Path("good.mp4"),)
    assert camera(outcome).stats.dropped["output_failed"] == FRAMES
    (problem,) = outcome.problems
    assert problem.startswith("gate: output out/day.mp4 failed (")


def test_detections_are_drawn_counted_and_never_the_end_of_a_picture(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []

    def detect(frames: Pixels) -> list[list[Detection]]:
        calls.append(len(frames))
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        assert frames.mean() > 150  # it looks at the day picture
        return [[Detection("car", 0.9, (4, 20, 30, 40)), Detection("car", 0.8, (1, 1, 2, 2))] for _ in frames]

    Path("cars.pt").write_bytes(b"")
    settings = config({"name": "gate", "url": "night.mp4", "outputs": ["out.mp4"]})
    cars = DetectConfig(model=Path("cars.pt"))
    settings = settings.model_copy(
        update={"cameras": (settings.cameras[0].model_copy(update={"detect": cars}),)}
    )
    outcome = play(settings, Engine(), detectors={cars.detector: DetectorStub(detect)})
    stats = camera(outcome).stats
    assert (stats.translated, stats.detections) == (FRAMES, {"car": 2 * (FRAMES - 1)})
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "gate: detection failed: out of memory"
    ]
    shown = last_frame(Path("out.mp4")).astype(int)
    assert np.abs(shown[40, 6:28] - shown[30, 17]).max() > 60  # the box's lower edge against the scene


def test_what_is_seen_on_either_view_is_followed_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """On the night a car that drives to the right, on the day view (which is bright) a dog that stands."""
    caplog.set_level("DEBUG", logger="nightday")
    batches: list[int] = []

    def detect(frames: Pixels) -> list[list[Detection]]:
        batches.append(len(frames))
        x = len(batches) + 10
        car, dog = Detection("car", 0.9, (x, 10, x + 12, 30)), Detection("dog", 0.8, (0, 20, 12, 44))
        return [[dog] if frame.mean() > 150 else [car] for frame in frames]

    Path("cars.pt").write_bytes(b"")
    section = {
        "model": "cars.pt",
        "on": "both",
        "zones": {"right": {"points": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}},
        "lines": {"middle": {"from": [0.5, 0], "to": [0.5, 1]}},
    }
    settings = config({"name": "gate", "url": "night.mp4", "detect": section})
    detect_config = settings.cameras[0].detect
    assert detect_config
    outcome = play(settings, Engine(), detectors={detect_config.detector: DetectorStub(detect)})
    assert (outcome.problems, batches) == ((), [2] * FRAMES)
    stats = camera(outcome).stats
    assert stats.detections == {"car": FRAMES, "dog": FRAMES}
    assert stats.found.tracks == {"car": 1, "dog": 1}
    # Nothing is in sight of a camera that has ended.
    assert stats.found.now == {None: {"car": 0, "dog": 0}, "right": {"car": 0}}
    texts = [record.getMessage() for record in caplog.records]
    assert "gate: 1 car, 1 dog in the picture" in texts
    assert stats.found.crossings == {("middle", "in", "car"): 1}
    told = [getattr(record, "event", "") for record in caplog.records]
    for event, count in {
        "object_appeared": 2,
        "zone_entered": 1,
        "line_crossed": 1,
        "object_gone": 0,
    }.items():
        assert told.count(event) == count


@contextmanager
def playing(
    settings: Config, engine: Callable[[Pixels], Pixels], commands: CommandQueue, **options: Any
) -> Iterator[list[Outcome]]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(play(settings, engine, commands=commands, **options))
    )
    thread.start()
    try:
        yield outcomes
    finally:
        commands.put("stop")
        thread.join(WAIT)
        assert not thread.is_alive()


def test_stop_in_the_middle_leaves_a_file_that_plays() -> None:
    enough = threading.Event()
    engine = Engine()

    def counted(frames: Pixels) -> Any:
        if sum(engine.batches) >= 10:
            enough.set()
        return engine(frames)

    commands = CommandQueue()
    settings = config({"name": "gate", "url": "night.mp4", "loop": True, "outputs": ["out.mp4"]})
    with playing(settings, counted, commands) as outcomes:
        assert enough.wait(WAIT)
    (outcome,) = outcomes
    assert (outcome.cause, outcome.problems, outcome.clean) == ("signal", (), True)
    stats = camera(outcome).stats
    assert stats.translated >= 10
    assert len(packet_pts(Path("out.mp4"))) == stats.translated - stats.dropped.get("output_slow", 0)
    assert ffmpeg_complaints(Path("out.mp4")) == ""


def test_an_engine_that_hangs_does_not_keep_files_from_being_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutdown, "STOP_WITHIN", 1.0)
    hung, release = threading.Event(), threading.Event()
    engine = Engine()

    def hanging(frames: Pixels) -> Any:
        if sum(engine.batches) >= 10:
            hung.set()
            release.wait(WAIT)
        return engine(frames)

    commands = CommandQueue()
    with playing(
        config({"name": "gate", "url": "night.mp4", "outputs": ["out.mp4"]}), hanging, commands
    ) as outcomes:
        assert hung.wait(WAIT)
    release.set()
    (outcome,) = outcomes
    assert (outcome.problems, outcome.clean) == ((), False)
    assert "the batch at hand is lost: the engine did not return in time" in caplog.text
    assert len(packet_pts(Path("out.mp4"))) == camera(outcome).stats.translated


def test_stop_while_the_engine_still_compiles_ends_at_once() -> None:
    engine, commands = Compiled(), CommandQueue()
    settings = config({"name": "gate", "url": "night.mp4", "outputs": ["out.mp4"]})
    with playing(settings, engine, commands) as outcomes:
        assert engine.compiling.wait(WAIT)
    engine.release.set()
    (outcome,) = outcomes
    assert (outcome.cause, outcome.problems, outcome.files, outcome.clean) == ("signal", (), (), False)
    assert camera(outcome).state == "starting"
    assert not Path("out.mp4").exists()


def test_a_reload_asked_for_while_the_engine_compiles_comes_afterwards() -> None:
    engine, commands, asked = Compiled(), CommandQueue(), threading.Event()
    settings = config({"name": "gate", "url": "night.mp4", "loop": True})

    def reload() -> Setup:
        asked.set()
        return Setup(settings, {Path(MODEL): engine})

    with playing(settings, engine, commands, reload=reload):
        assert engine.compiling.wait(WAIT)
        commands.put("reload")
        engine.release.set()
        assert asked.wait(WAIT)


@pytest.mark.parametrize("fault", ["hangs", "fails"])
def test_a_picture_that_cannot_be_saved_holds_up_neither_the_watch_nor_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    monkeypatch.setattr(runtime, "SAVE_EVERY", 0.05)
    monkeypatch.setattr(shutdown, "SAVE_WITHIN", 0.3)
    began, release = threading.Event(), threading.Event()
    commands = CommandQueue()
    left = [10]

    def save(path: Path, rgb: Pixels) -> None:
        began.set()
        if fault == "fails":
            raise cv2.error("a picture of no kind")
        assert release.wait(WAIT)

    def report(*_: object) -> None:
        left[0] -= began.is_set()
        if not left[0]:
            commands.put("stop")

    monkeypatch.setattr("nightday.pipeline.translation.camera_pictures.save_png", save)
    entry = {"name": "gate", "url": "night.mp4", "loop": True, "pace": "realtime", "snapshot": "pair.png"}
    outcome = play(
        config(entry | {"outputs": ["out.mp4"]}),
        Engine(),
        commands=commands,
        report=report,
        report_every=0.02,
    )
    release.set()
    assert (outcome.cause, outcome.problems, outcome.clean) == ("signal", (), fault == "fails")
    assert ffmpeg_complaints(Path("out.mp4")) == ""
    said = {
        "hangs": "pictures are not saved: the disk does not answer",
        "fails": "gate: cannot write pair.png: ",
    }
    assert sum(record.getMessage().startswith(said[fault]) for record in caplog.records) == 1


def test_workers_that_die_again_and_again_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Batcher, "next", broken)
    outcome = play(config({"name": "gate", "url": "night.mp4", "loop": True}), Engine())
    assert outcome.cause == "failed"
    assert "the workers failed: RuntimeError: a fault of ours" in outcome.problems


def test_workers_that_die_once_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    died: list[int] = []
    process = Worker.process

    def once(self: Worker, batch: Sequence[Taken]) -> None:
        if not died:
            died.append(len(batch))
            raise RuntimeError("a fault of ours")
        process(self, batch)

    monkeypatch.setattr(Worker, "process", once)
    outcome = play(config({"name": "gate", "url": "night.mp4", "outputs": ["out.mp4"]}), Engine())
    assert (outcome.cause, outcome.problems) == ("finished", ())
    stats = camera(outcome).stats
    assert (stats.translated, stats.dropped) == (FRAMES - 1, {"loop_failed": 1})
    assert [r.__dict__["event"] for r in caplog.records if "starting them again" in r.message] == [
        "restarted"
    ]


@pytest.mark.slow
def test_a_dead_output_is_replaced_and_a_camera_that_keeps_losing_it_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class PoisonError(BaseException):
        """Past every ``except Exception``, as a fault in the thread's own code would be."""

    deaths: list[int] = []
    write = SegmentWriter.write

    def mortal(self: SegmentWriter, picture: Picture) -> None:
        if len(deaths) < most:
            deaths.append(picture.frame.pts)
            raise PoisonError
        write(self, picture)

    monkeypatch.setattr(SegmentWriter, "write", mortal)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    settings = {"name": "gate", "url": "night.mp4", "outputs": ["out.mp4"], "loop": True, "pace": "realtime"}
    most = 1
    commands = CommandQueue()

    def until_written(cameras: Sequence[CameraStatus], _: float) -> None:
        if cameras[0].stats.latency_p50 is not None:
            commands.put("stop")

    outcome = play(
        config(settings), Engine(), commands=commands, report=until_written, report_every=0.05, duration=WAIT
    )
    assert (outcome.cause, outcome.problems, len(deaths)) == ("signal", (), 1)
    assert packet_pts(Path("out.mp4"))
    most = 100
    deaths.clear()
    outcome = play(config(settings), Engine())
    assert outcome.cause == "failed"
    assert any("again and again" in problem for problem in outcome.problems)


def test_a_new_size_is_compiled_for_beside_the_cameras_that_run(tmp_path: Path) -> None:
    make_clip(Path("large.mp4"), NIGHT, size=(96, 80))
    engine, commands = Compiled((48, 64)), CommandQueue()
    first = config({"name": "small", "url": "night.mp4", "loop": True, "pace": "realtime", "model": MODEL})
    both = config(
        {"name": "small", "url": "night.mp4", "loop": True, "pace": "realtime"},
        {"name": "large", "url": "large.mp4", "loop": True, "pace": "realtime"},
    )
    seen: list[
        tuple[int, int]
    ] = []  # while it compiles: pictures of the small one, brightened ones of the large one

    def follow(cameras: Sequence[CameraStatus], _: float) -> None:
        by_name = {one.name: one for one in cameras}
        if len(cameras) == 1 and cameras[0].pictures:
            commands.put("reload")
        if len(cameras) == 2 and engine.compiling.is_set() and not engine.release.is_set():
            seen.append((by_name["small"].pictures, by_name["large"].stats.brightened))
            if seen[-1][0] >= seen[0][0] + 5 and seen[-1][1]:
                assert by_name["large"].stats.translated == 0
                engine.release.set()
        if engine.release.is_set() and by_name["large"].stats.translated:
            commands.put("stop")

    outcome = play(
        first,
        engine,
        commands=commands,
        report=follow,
        report_every=0.02,
        duration=WAIT,
        reload=lambda: Setup(both, {Path(MODEL): engine}),
    )
    assert outcome.cause == "signal"
    assert camera(outcome, "large").stats.translated > 0
    assert "engine_error" not in camera(outcome, "large").stats.dropped


class Reloads:
    """Runs ``first``, puts each of ``setups`` in its place once every camera has shown a picture, then stops."""

    def __init__(self, first: Config, *setups: Config | ConfigError) -> None:
        self.first, self.setups = first, list(setups)
        self.engine, self.commands = Engine(), CommandQueue()
        self.history: list[dict[str, CameraStatus]] = []
        self.asked = False

    def reload(self) -> Setup:
        self.asked = False
        setup = self.setups.pop(0)
        if isinstance(setup, ConfigError):
            raise setup
        return Setup(setup, {Path(MODEL): self.engine})

    def report(self, cameras: Sequence[CameraStatus], _: float) -> None:
        now = {one.name: one for one in cameras}
        before = self.history[-1] if self.history else {}
        if self.asked or any(
            one.pictures < 3 + (before[n].pictures if n in before else 0) for n, one in now.items()
        ):
            return
        self.history.append(now)
        self.asked = True
        self.commands.put("reload" if self.setups else "stop")

    def run(self) -> Outcome:
        return play(
            self.first,
            self.engine,
            commands=self.commands,
            report=self.report,
            report_every=0.02,
            duration=WAIT,
            reload=self.reload,
        )


def test_a_reload_touches_only_the_cameras_that_changed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def entry(name: str, **options: Any) -> dict[str, Any]:
        return {
            "name": name,
            "url": "night.mp4",
            "loop": True,
            "pace": "realtime",
            "outputs": [f"{name}.mp4"],
        } | options

    reloads = Reloads(
        config(entry("same"), entry("changed"), entry("gone")),
        config(entry("new"), entry("same"), entry("changed", translate="never")),
    )
    outcome = reloads.run()
    assert (outcome.cause, outcome.problems, outcome.clean) == ("signal", (), True)
    assert [list(now) for now in reloads.history] == [["same", "changed", "gone"], ["new", "same", "changed"]]
    assert any("1 camera changed, 1 added, 1 removed, 1 untouched" in r.message for r in caplog.records)
    changed = camera(outcome, "changed").stats
    assert changed.passed >= 3
    assert changed.translated >= 3  # its counters go on
    assert set(map(str, outcome.files)) == {"changed-1.mp4", "changed.mp4", "gone.mp4", "new.mp4", "same.mp4"}
    for path in outcome.files:
        assert ffmpeg_complaints(path) == ""
    started = [r.message for r in caplog.records if "same: playing" in r.message]
    assert len(started) == 1


def test_a_bad_configuration_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    entry = {"name": "gate", "url": "night.mp4", "loop": True, "pace": "realtime", "outputs": ["out.mp4"]}
    faults = ["cameras.yaml:3: cameras[0].urll: unknown key", "cameras.yaml:9: cameras[1]: no name"]
    outcome = Reloads(config(entry), ConfigError(faults)).run()
    assert (outcome.cause, outcome.problems) == ("signal", ())
    assert [r.message for r in caplog.records if getattr(r, "event", "") == "reload_refused"] == [
        f"not reloaded: {fault}" for fault in faults
    ]
    assert list(map(str, outcome.files)) == ["out.mp4"]


def test_ports_that_cannot_be_had_after_a_reload_end_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the new one nor, taken by another program meanwhile, the one before; the next reload tries again."""
    caplog.set_level(logging.INFO)
    serving: list[int] = []

    class Server:
        taken = False

        def __init__(self, settings: HttpConfig, *_: object, **__: object) -> None:
            self.port = settings.port

        def start(self) -> None:
            if Server.taken:
                raise WebError(f"http: cannot listen at {self.port}")
            Server.taken = True
            serving.append(self.port)

        def close(self, _: float) -> None: ...

    monkeypatch.setattr(endpoint, "WebServer", Server)
    entry = {"name": "gate", "url": "night.mp4", "loop": True, "pace": "realtime"}

    def served(port: int) -> Config:
        return config(entry).model_copy(update={"http": HttpConfig(port=port)})

    reloads = Reloads(served(1), served(2), served(1))
    reload = reloads.reload

    def freed_later() -> Setup:
        Server.taken = len(reloads.setups) > 1
        return reload()

    monkeypatch.setattr(reloads, "reload", freed_later)
    outcome = reloads.run()
    assert (outcome.cause, outcome.problems) == ("signal", ())
    assert serving == [1, 1]
    refused = [
        r.message for r in caplog.records if getattr(r, "event", "") in ("reload_refused", "http_lost")
    ]
    assert refused == ["not reloaded: http: cannot listen at 2", "http: cannot listen at 1"]


def test_duration_ends_a_camera_that_never_does() -> None:
    reports: list[tuple[int, float]] = []
    outcome = play(
        config({"name": "gate", "url": "night.mp4", "loop": True, "pace": "realtime"}),
        Engine(),
        duration=0.5,
        report=lambda cameras, seconds: reports.append((cameras[0].pictures, seconds)),
        report_every=0.1,
    )
    assert (outcome.cause, outcome.problems) == ("duration", ())
    assert 2 <= len(reports) <= 6
    assert reports == sorted(reports)
    assert camera(outcome).state == "stopped"


def test_a_camera_without_outputs_is_seen_over_http_and_encodes_only_meanwhile() -> None:
    port = lasting_port()
    entry = {"name": "gate", "url": "night.mp4", "loop": True, "pace": "realtime"}
    settings = config(entry).model_copy(update={"http": HttpConfig(port=port)})
    commands = CommandQueue()
    outcomes: list[Outcome] = []
    encoders: list[str | None] = []

    def note(cameras: Sequence[CameraStatus], _: float) -> None:
        encoders.append(cameras[0].encoder)
        if cameras[0].pictures:
            began.set()

    def go() -> None:
        outcomes.append(play(settings, Engine(), commands=commands, report=note, report_every=0.05))

    began, thread = threading.Event(), threading.Thread(target=go)
    thread.start()
    try:
        assert began.wait(WAIT)
        pair = urlopen(f"http://127.0.0.1:{port}/snapshot/gate.jpg?view=pair", timeout=WAIT).read()
        assert set(encoders) == {None}
        stream = urlopen(f"http://127.0.0.1:{port}/live/gate.ts", timeout=WAIT)
        assert stream.read(188 * 20)[::188] == b"G" * 20
    finally:
        commands.put("stop")
        thread.join(WAIT)
    stream.read()  # which ends
    assert encoders[-1] == "x264"
    assert [(one.cause, one.problems, one.clean) for one in outcomes] == [("signal", (), True)]
    shown = cv2.imdecode(np.frombuffer(pair, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (48, 128, 3)
    assert shown[:20, :64].mean() < 100
    assert shown[:20, 64:].mean() > 150  # inverted


def test_no_picture_at_all_is_a_problem() -> None:
    def engine(frames: Pixels) -> Pixels:
        raise RuntimeError("never")

    outcome = play(config({"name": "gate", "url": "night.mp4"}), engine)
    assert outcome.problems == (
        f"gate: none of its {FRAMES} frames came through (the engine failed on a frame: never)",
        "no camera delivered a single picture",
    )


@pytest.mark.parametrize("signalled", [False, True])
def test_a_camera_that_never_came_is_a_problem_unless_a_signal_ended_the_run(signalled: bool) -> None:
    settings = config(
        {"name": "gate", "url": "night.mp4", "loop": True},
        {"name": "away", "url": f"rtsp://127.0.0.1:{lasting_port()}/s"},
    )
    commands = CommandQueue()

    def report(cameras: Sequence[CameraStatus], _: float) -> None:
        if signalled and cameras[0].pictures and cameras[1].reason:
            commands.put("stop")

    outcome = play(
        settings,
        Engine(),
        duration=None if signalled else 3.0,
        commands=commands,
        report=report,
        report_every=0.1,
    )
    away = camera(outcome, "away")
    assert (away.state, away.reason) == ("stopped", "refused")
    if signalled:
        assert (outcome.cause, outcome.problems) == ("signal", ())
    else:
        (problem,) = outcome.problems
        assert problem.startswith("away: never delivered a picture (refused: ")


def test_a_camera_that_falls_silent_is_given_up_after_its_stall_timeout(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server:
        settings = config(
            {
                "name": "gate",
                "url": server.url("/cam"),
                "pace": "realtime",
                "translate": "never",
                "stall_timeout": 0.5,
            }
        )
        commands = CommandQueue()

        def report(cameras: Sequence[CameraStatus], _: float) -> None:
            if cameras[0].pictures and not stalled:
                stalled.append(cameras[0].pictures)
                server.command("stall")
            if cameras[0].stats.reconnects.get("stall"):
                commands.put("stop")

        stalled: list[int] = []
        began = time.monotonic()
        outcome = play(settings, Engine(), commands=commands, report=report, report_every=0.05, duration=WAIT)
        assert outcome.cause == "signal"
        assert time.monotonic() - began < 9.0  # far below the default of 10 s


def test_rtsp_in_to_mp4_and_rtsp_out_with_every_pts_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real camera's stream, a real server that records: each translated frame arrives at its own time.

    On a busy machine a handshake may outlast an output's queue; what that costs must then be counted.
    """
    made: list[Picture] = []
    enough = threading.Event()
    offer = Output.offer

    def noted(sink: Output, picture: Picture) -> bool:
        if not made or made[-1] is not picture:
            made.append(picture)
        return offer(sink, picture)

    monkeypatch.setattr(Output, "offer", noted)
    engine = Engine()

    def until_enough(frames: Pixels) -> Any:
        if enough.is_set():
            raise RuntimeError("enough")
        return engine(frames)

    commands = CommandQueue()
    with RtspServer(record=folder) as server:
        settings = config(
            {
                "name": "gate",
                "url": server.url("/cam"),
                "translate": "always",
                "outputs": ["out/day.mp4", server.url("/day")],
            }
        )
        with playing(settings, until_enough, commands) as outcomes:
            server.expect_recorded(40)
            enough.set()
        closed = server.expect("closed")
    (outcome,) = outcomes
    assert outcome.problems == ()
    stats = camera(outcome).stats
    assert stats.translated == len(made) >= 40
    assert "output_failed" not in stats.dropped
    pts = [picture.frame.pts for picture in made]
    assert all(later > earlier for earlier, later in pairwise(pts))
    filed = camera_pts(Path("out/day.mp4"))
    assert filed == [each for each in pts if each in set(filed)]
    seconds = [float(picture.frame.pts * picture.frame.time_base) for picture in made]
    packets = ffprobe(Path(closed["path"]), "packet=pts_time")["packets"]
    recorded = np.array([float(packet["pts_time"]) for packet in packets])
    lost = 2 * len(made) - len(filed) - len(recorded)
    assert lost == stats.dropped.get("output_slow", 0) <= 10
    starts = [np.array(seconds[first:]) - seconds[first] for first in range(len(made) - len(recorded) + 1)]
    apart = [np.abs((recorded - recorded[0])[:, None] - start).min(axis=1).max() for start in starts]
    assert min(apart) < 0.0021, f"recorded at other distances than made, by {min(apart)} s"  # Matroska has ms
    for path in (Path("out/day.mp4"), Path(closed["path"])):
        assert ffmpeg_complaints(path) == ""
