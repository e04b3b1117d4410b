"""The whole line in one process: files and a real RTSP server in, recordings and a restream out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from clips import make_clip
from media_helpers import clip_pts, ffmpeg_complaints, ffprobe, packet_pts
from numpy.typing import NDArray
from rtsp_server import WAIT, RtspServer

from engines.checkpoint import save_checkpoint
from engines.generator import GeneratorSettings, NightToDay
from pipeline import loop as loop_module
from pipeline import runtime
from pipeline.config import Config
from pipeline.detections import Detection
from pipeline.frame import Picture
from pipeline.inbox import Inbox
from pipeline.runtime import Outcome, run
from pipeline.sinks import Sink
from pipeline.status import CameraStatus

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


class Engine:
    """Inverts pictures, and keeps how many frames each call had."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, frames: Pixels) -> Pixels:
        self.batches.append(len(frames))
        return 255 - frames


def play(settings: Config, engine: Callable[[Pixels], Pixels], **options: Any) -> Outcome:
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
    assert packet_pts(Path("out/day.mp4")) == clip_pts(Path("night.mp4"))
    assert ffmpeg_complaints(Path("out/day.mp4")) == ""
    status = camera(outcome)
    assert (status.state, status.stats.translated, status.stats.dropped) == ("finished", FRAMES, {})
    assert len(engine.batches) == FRAMES + 1  # and one to warm up
    pair = cv2.imread("out/pair.png")
    assert pair.shape == (48, 128, 3)
    assert pair[:20, :64].mean() < 80
    assert pair[:20, 64:].mean() > 170
    background = cv2.imread("out/bg.png")
    assert background.shape == (48, 64, 3)
    assert background.mean() > 170  # of the day view, and with no mark in its corner
    assert np.ptp(background[..., 0]) == 0


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
    assert sum(engine.batches) == FRAMES + 1  # none of the day's but for warming up, done once for both
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
    assert sum(engine.batches) == FRAMES + 1


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
    assert packet_pts(Path("good.mp4")) == clip_pts(Path("night.mp4"))
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
    settings = settings.model_copy(
        update={"cameras": (settings.cameras[0].model_copy(update={"detect": Path("cars.pt")}),)}
    )
    outcome = play(settings, Engine(), detectors={Path("cars.pt"): detect})
    stats = camera(outcome).stats
    assert (stats.translated, stats.detections) == (FRAMES, {"car": 2 * (FRAMES - 1)})
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "gate: detection failed: out of memory"
    ]
    shown = last_frame(Path("out.mp4")).astype(int)
    assert np.abs(shown[40, 6:28] - shown[30, 17]).max() > 60  # the box's lower edge against the scene


@contextmanager
def playing(settings: Config, engine: Callable[[Pixels], Pixels], inbox: Inbox) -> Iterator[list[Outcome]]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(play(settings, engine, inbox=inbox)))
    thread.start()
    try:
        yield outcomes
    finally:
        inbox.put("stop")
        thread.join(WAIT)
        assert not thread.is_alive()


def test_stop_in_the_middle_leaves_a_file_that_plays() -> None:
    enough = threading.Event()
    engine = Engine()

    def counted(frames: Pixels) -> Pixels:
        if sum(engine.batches) >= 10:
            enough.set()
        return engine(frames)

    inbox = Inbox()
    settings = config({"name": "gate", "url": "night.mp4", "loop": True, "outputs": ["out.mp4"]})
    with playing(settings, counted, inbox) as outcomes:
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
    monkeypatch.setattr(runtime, "STOP_WITHIN", 1.0)
    hung, release = threading.Event(), threading.Event()
    engine = Engine()

    def hanging(frames: Pixels) -> Pixels:
        if sum(engine.batches) >= 10:
            hung.set()
            release.wait(WAIT)
        return engine(frames)

    inbox = Inbox()
    with playing(
        config({"name": "gate", "url": "night.mp4", "outputs": ["out.mp4"]}), hanging, inbox
    ) as outcomes:
        assert hung.wait(WAIT)
    release.set()
    (outcome,) = outcomes
    assert (outcome.problems, outcome.clean) == ((), False)
    assert "the batch at hand is lost: the engine did not return in time" in caplog.text
    assert len(packet_pts(Path("out.mp4"))) == camera(outcome).stats.translated


def test_stop_while_the_engine_still_compiles_ends_at_once() -> None:
    compiling, release = threading.Event(), threading.Event()

    def engine(frames: Pixels) -> Pixels:
        compiling.set()
        release.wait(WAIT)
        return frames

    inbox = Inbox()
    settings = config({"name": "gate", "url": "night.mp4", "outputs": ["out.mp4"]})
    with playing(settings, engine, inbox) as outcomes:
        assert compiling.wait(WAIT)
    release.set()
    (outcome,) = outcomes
    assert (outcome.cause, outcome.problems, outcome.files, outcome.clean) == ("signal", (), (), False)
    assert camera(outcome).state == "starting"
    assert not Path("out.mp4").exists()


def test_a_loop_that_dies_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(loop_module.Batcher, "next", broken)
    outcome = play(config({"name": "gate", "url": "night.mp4", "loop": True}), Engine())
    assert outcome.cause == "failed"
    assert "the loop failed: RuntimeError: a fault of ours" in outcome.problems


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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = config(
        {"name": "gate", "url": "night.mp4", "loop": True},
        {"name": "away", "url": f"rtsp://127.0.0.1:{port}/s"},
    )
    inbox = Inbox()

    def report(cameras: Sequence[CameraStatus], _: float) -> None:
        if signalled and cameras[0].pictures and cameras[1].reason:
            inbox.put("stop")

    outcome = play(
        settings, Engine(), duration=None if signalled else 1.0, inbox=inbox, report=report, report_every=0.1
    )
    away = camera(outcome, "away")
    assert (away.state, away.reason) == ("stopped", "refused")
    if signalled:
        assert (outcome.cause, outcome.problems) == ("signal", ())
    else:
        (problem,) = outcome.problems
        assert problem.startswith("away: never delivered a picture (refused: ")


def test_rtsp_in_to_mp4_and_rtsp_out_with_every_pts_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real camera's stream, a real server that records: each translated frame arrives at its own time."""
    wanted = 40
    made: list[Picture] = []
    enough = threading.Event()
    offer = Sink.offer

    def noted(sink: Sink, picture: Picture) -> bool:
        if not made or made[-1] is not picture:
            made.append(picture)
        return offer(sink, picture)

    monkeypatch.setattr(Sink, "offer", noted)
    engine = Engine()

    def until_enough(frames: Pixels) -> Pixels:
        if len(made) >= wanted:
            enough.set()
            raise RuntimeError("enough")
        return engine(frames)

    inbox = Inbox()
    with RtspServer(record=folder) as server:
        settings = config(
            {
                "name": "gate",
                "url": server.url("/cam"),
                "translate": "always",
                "outputs": ["out/day.mp4", server.url("/day")],
            }
        )
        with playing(settings, until_enough, inbox) as outcomes:
            assert enough.wait(WAIT)
            server.expect_recorded(wanted)
        closed = server.expect("closed")
    (outcome,) = outcomes
    assert outcome.problems == ()
    stats = camera(outcome).stats
    assert stats.translated == len(made) == wanted
    assert not {"output_slow", "output_failed"} & stats.dropped.keys()
    pts = [picture.frame.pts for picture in made]
    assert all(later > earlier for earlier, later in pairwise(pts))
    assert packet_pts(Path("out/day.mp4")) == pts
    seconds = [float(picture.frame.pts * picture.frame.time_base) for picture in made]
    packets = ffprobe(Path(closed["path"]), "packet=pts_time")["packets"]
    recorded = [float(packet["pts_time"]) for packet in packets]
    steps = np.diff(recorded)
    np.testing.assert_allclose(steps, np.diff(seconds), atol=0.0011)  # Matroska counts in ms
    for path in (Path("out/day.mp4"), Path(closed["path"])):
        assert ffmpeg_complaints(path) == ""
