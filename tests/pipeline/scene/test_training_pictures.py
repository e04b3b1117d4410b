"""Pictures collected for training: sorted by the light, spread over weeks, of one view, and no one's burden."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection
from nightday.pipeline.config.detection import DetectConfig
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.scene.light import measure
from nightday.pipeline.scene.night_gate import BRIGHT, DARK, NightGate
from nightday.pipeline.scene.training_pictures import TrainingPictures, select_evenly
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision import runtime
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import run
from tests.support.clips import make_clip
from tests.support.engines import EngineStub
from tests.support.media_helpers import ffmpeg_complaints
from tests.support.rtsp_server import WAIT

Pixels = NDArray[np.uint8]
START = 1_699_998_720  # the beginning of a slot of 64 minutes
DAY = 24 * 60  # minutes


def scene(rng: np.random.Generator, *, size: tuple[int, int] = (96, 128)) -> Pixels:
    """A picture by day with structure at all scales, unlike any other; its small things have colours."""
    height, width = size
    layers = []
    for n in (4, 8, 16, 32):
        layer = rng.uniform(0, 255, (max(height // n, 2), max(width // n, 2), 3))
        # Large areas of a colour each would be those of lamps.
        layers.append(cv2.resize(layer if n == 4 else layer[..., :1].repeat(3, 2), (width, height)))
    picture = np.mean(layers, axis=0) * 1.6 - 60
    picture[: height // 3] += 50  # the sky
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def made(folder: Path, **options: Any) -> TrainingPictures:
    values: dict[str, Any] = {"camera": "gate", "folder": folder, "every": 60.0, "keep": 500}
    values |= {"gate": NightGate(), "stats": CameraStats()}
    return TrainingPictures(**(values | options))


def show(collection: TrainingPictures, rgb: Pixels, *, start: int, seconds: int, step: int = 1) -> int:
    """Show ``rgb`` for so many seconds, writing what is taken at once; how many pictures were."""
    video = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
    return sum(
        _shown(collection, Frame("gate", video, second, Fraction(1), 0.0, START + second + 0.4), rgb)
        for second in range(start, start + seconds, step)
    )


def _shown(collection: TrainingPictures, frame: Frame, rgb: Pixels) -> bool:
    collection.offer(frame, rgb)
    return collection.write()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def named(second: int) -> str:
    return time.strftime("%Y%m%d-%H%M%SZ.jpg", time.gmtime(START + second))


def read(path: Path) -> Pixels:
    bgr = cv2.imread(str(path))
    assert bgr is not None
    return np.asarray(bgr[..., ::-1], np.uint8)


# --- which pictures ---------------------------------------------------------------------------------------------


def test_day_and_night_have_a_folder_each_and_dusk_has_none(rng: np.random.Generator, tmp_path: Path) -> None:
    collection = made(tmp_path / "new" / "gate")
    day = scene(rng)
    light = measure(av.VideoFrame.from_ndarray(day, "rgb24").reformat(format="yuv420p"))
    night, dusk = day // 5, (day * ((DARK + BRIGHT) / 2 / light.luma)).astype(np.uint8)
    show(collection, day, start=0, seconds=300)
    show(collection, dusk, start=300, seconds=300)
    show(collection, night, start=600, seconds=300)
    # The first moment is a guess; nothing is night before it has been for the gate's dwell time.
    by_day, by_night = names(collection.folder / "day"), names(collection.folder / "night")
    assert by_day[1:] == [named(60 * minute) for minute in range(1, 5)]
    assert named(0) < by_day[0] < named(10)
    assert by_night[1:] == [named(60 * minute) for minute in range(11, 15)]
    assert named(610) <= by_night[0] < named(625)
    kept = read(collection.folder / "day" / by_day[2])
    assert kept.shape == day.shape
    assert cv2.PSNR(kept, day) > 40
    assert cv2.PSNR(read(collection.folder / "night" / by_night[2]), night) > 40


def test_a_picture_is_copied_when_it_is_taken_and_one_waits_at_most(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    collection = made(tmp_path)
    day = scene(rng)
    video = av.VideoFrame.from_ndarray(day, "rgb24").reformat(format="yuv420p")
    shown = day.copy()
    for second in range(150):
        collection.offer(Frame("gate", video, second, Fraction(1), 0.0, START + second), shown)
        if second == 30:
            shown[:] = 0  # a mark or a box drawn later
    assert collection.write()
    assert not collection.write()
    (name,) = names(tmp_path / "day")
    assert name < named(30)
    assert cv2.PSNR(read(tmp_path / "day" / name), day) > 40


def test_weeks_are_spread_evenly_and_never_more_than_are_to_be_kept(rng: np.random.Generator) -> None:
    """Four weeks of days from 6 to 18 h, a picture a minute on offer, the camera away for hours now and then."""
    kept: list[int] = []
    level, most, keep = 0, 0, 200
    away = np.repeat(rng.random(28 * DAY // 120) < 0.1, 120)
    for minute in range(28 * DAY):
        by_day = DAY // 4 <= minute % DAY < 3 * DAY // 4
        if not by_day or away[minute] or (START // 60 + minute) % 2**level:
            continue
        kept.append(START + 60 * minute)
        kept, level = select_evenly(kept, every=60, keep=keep)
        most = max(most, len(kept))
        assert select_evenly(kept, every=60, keep=keep) == (kept, level)  # as a restart would find it
    assert 0.4 * keep <= len(kept) <= most <= keep
    minutes = (np.array(kept) - START) // 60
    assert len({second // (60 * 2**level) for second in kept}) == len(kept)
    by_week = np.bincount(minutes // (7 * DAY), minlength=4) / len(kept)
    assert by_week.min() > 0.15, by_week
    by_hour = np.bincount(minutes % DAY // 60, minlength=24)[6:18] / len(kept)
    assert by_hour.max() < 0.16, by_hour  # they do not gather at daybreak


@pytest.mark.parametrize("minute", [0, 1, 7])
def test_an_hour_s_same_minute_is_never_thinned_to_nothing(minute: int) -> None:
    seconds = [3600 * hour + 60 * minute for hour in range(21)]
    kept, _ = select_evenly(seconds, every=60, keep=20)
    assert 10 <= len(kept) <= 20


def test_a_full_folder_is_thinned_out_and_a_restart_goes_on_as_before(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    day = scene(rng)
    own = tmp_path / "day" / "mine.mp4"
    own.parent.mkdir()
    own.write_text("the user's")
    half = tmp_path / "day" / f".{named(0)}.x1.tmp"
    half.write_text("half of a picture")
    first = made(tmp_path, keep=10)
    assert not half.exists()
    show(first, day, start=0, seconds=60 * 11, step=5)
    pictures = [name for name in names(tmp_path / "day") if name.endswith(".jpg")]
    assert len(pictures) == 6
    assert pictures[1:] == [named(60 * minute) for minute in (2, 4, 6, 8, 10)]
    assert "11 day pictures were more than 10; 6 stay, and there is one every 120 s" in caplog.text
    second = made(tmp_path, keep=10)
    assert show(second, day, start=60 * 11, seconds=60 * 10, step=5) == 5
    later = [name for name in names(tmp_path / "day") if name.endswith(".jpg")]
    assert len(later) == 6
    assert later[1:] == [named(60 * minute) for minute in (4, 8, 12, 16, 20)]
    assert own.read_text() == "the user's"
    third = made(tmp_path, keep=10)  # at once again: no second picture of the same slot
    assert show(third, day, start=60 * 20 + 5, seconds=30) == 0


# --- one view ---------------------------------------------------------------------------------------------------


def test_a_moved_camera_begins_anew_and_what_was_collected_before_is_kept(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = scene(rng), scene(rng)
    collection = made(tmp_path)
    show(collection, here, start=0, seconds=60 * 20, step=5)
    of_here = set(names(tmp_path / "day"))
    assert len(of_here) == 20
    moved_at = 60 * 20
    collection = made(tmp_path)  # moved while the program did not run
    show(collection, there, start=moved_at, seconds=60 * 12, step=5)
    assert of_here <= set(names(tmp_path / "before" / "day"))
    now = names(tmp_path / "day")
    assert now
    assert not of_here & set(now)
    assert all(cv2.PSNR(read(tmp_path / "day" / name), there) > 30 for name in now)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("gate: the camera was moved or zoomed: the ")
    assert message.endswith(f"collected before are in {tmp_path / 'before'} now, and collecting begins anew")
    # Turned back: the short view does not push out the long one.
    show(collection, here, start=moved_at + 60 * 12, seconds=60 * 15, step=5)
    assert of_here <= set(names(tmp_path / "before" / "day"))
    assert all(cv2.PSNR(read(tmp_path / "day" / name), here) > 30 for name in names(tmp_path / "day"))
    assert "are deleted, those of an earlier view in" in caplog.text


def test_a_camera_that_is_not_fixed_keeps_its_views_together(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same two views as of a moved camera, which begins anew."""
    caplog.set_level(logging.INFO)
    here, there = scene(rng), scene(rng)
    for name, fixed in (("moved", True), ("drive", False)):
        collection = made(tmp_path / name, fixed=fixed)
        show(collection, here, start=0, seconds=60 * 20, step=10)
        show(collection, there, start=60 * 20, seconds=60 * 12, step=5)
    assert (tmp_path / "moved" / "before" / "day").is_dir()
    assert not (tmp_path / "drive" / "before").exists()
    assert len(names(tmp_path / "drive" / "day")) == 20 + 12
    assert [record.__dict__["event"] for record in caplog.records] == ["collection_restarted"]


def test_pictures_of_another_size_are_not_mixed(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    show(made(tmp_path), scene(rng), start=0, seconds=180)
    before = names(tmp_path / "day")
    show(made(tmp_path), scene(rng, size=(48, 64)), start=180, seconds=120)
    assert names(tmp_path / "before" / "day") == before
    assert {read(tmp_path / "day" / name).shape for name in names(tmp_path / "day")} == {(48, 64, 3)}
    assert "the camera's pictures have another size: the 3 pictures" in caplog.text


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_picture_that_cannot_be_written_leaves_no_litter_and_the_next_one_is(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = CameraStats()
    collection = made(tmp_path, stats=stats)
    day = scene(rng)
    show(collection, day, start=0, seconds=60)
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            show(collection, day, start=60, seconds=30)
        assert show(collection, day, start=90, seconds=30) == 0  # not again and again
    assert show(collection, day, start=120, seconds=60) == 1
    pictures = names(tmp_path / "day")
    assert len(pictures) == 2
    assert pictures[1] == named(120)
    assert stats.snapshot().collected == {"day": 2, "failed": 1}


# --- in the whole line ------------------------------------------------------------------------------------------


class Hurrying(SystemClock):
    """The time of day runs by 10 s with each look at it, and frames are looked at."""

    def __init__(self) -> None:
        self._now = float(START)

    def time(self) -> float:
        self._now += 10
        return self._now


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a dark clip and a bright one; pictures are saved all the time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "SAVE_EVERY", 0.02)
    make_clip(Path("night.mp4"), 30)
    make_clip(Path("day.mp4"), 180)
    return tmp_path


def config(*cameras: dict[str, Any]) -> Config:
    every = {"loop": True, "pace": "fast"}
    return Config.model_validate({"cameras": [every | camera for camera in cameras]})


def collected(status: CameraStatus) -> int:
    return sum(count for what, count in status.stats.collected.items() if what != "failed")


def play(settings: Config, *, until: Any, commands: CommandQueue | None = None, **options: Any) -> Outcome:
    """Run until ``until`` says of the cameras that it is enough."""
    commands = commands or CommandQueue()

    def report(cameras: Sequence[CameraStatus], _: float) -> None:
        if until({camera.name: camera for camera in cameras}):
            commands.put("stop")

    outcome = run(
        settings,
        commands=commands,
        report=report,
        report_every=0.02,
        duration=WAIT,
        clock=Hurrying(),
        **options,
    )
    assert outcome.cause == "signal"
    return outcome


def test_a_camera_that_only_collects_and_one_that_is_translated(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is what the camera saw: not translated, with no mark and no box."""
    settings = config(
        {"name": "bare", "url": "day.mp4", "collect": {"folder": "training/bare"}},
        {
            "name": "gate",
            "url": "night.mp4",
            "translate": "never",
            "outputs": ["out.mp4"],
            "collect": {"folder": "training/gate", "every_s": 30},
        },
    )
    Path("d.pt").touch()
    cars = DetectConfig(model=Path("d.pt"))
    gate = settings.cameras[1].model_copy(
        update={"translate": "always", "model": Path("m.pt"), "detect": cars}
    )
    settings = settings.model_copy(update={"cameras": (settings.cameras[0], gate)})
    outcome = play(
        settings,
        engines={Path("m.pt"): EngineStub(lambda frames: 255 - frames)},
        detectors={cars.detector: lambda frames: [[Detection("car", 0.9, (4, 20, 30, 40))] for _ in frames]},
        until=lambda cameras: all(collected(camera) >= 3 for camera in cameras.values()),
    )
    assert (outcome.problems, outcome.clean) == ((), True)
    assert Path("training/bare") in outcome.files
    assert Path("training/gate") in outcome.files
    assert ffmpeg_complaints(Path("out.mp4")) == ""
    by_day, by_night = names(Path("training/bare/day")), names(Path("training/gate/night"))
    assert len(by_day) >= 3
    assert len(by_night) >= 3
    assert not Path("training/bare/night").exists()
    assert not Path("training/gate/day").exists()
    for name in by_night:
        picture = read(Path("training/gate/night") / name)
        assert picture.shape == (48, 64, 3)
        assert picture.max() < 120
        for half in (picture[:20], picture[28:]):
            assert np.ptp(half[..., 1]) <= 4  # one level everywhere: nothing is drawn
    (bare,) = [camera for camera in outcome.cameras if camera.name == "bare"]
    assert bare.stats.collected == {"day": len(by_day)}
    assert bare.stats.dropped == {}
    assert bare.stats.translated == 0
    seconds = [time.mktime(time.strptime(name, "%Y%m%d-%H%M%SZ.jpg")) for name in by_day]
    # One a minute; later within it where the one before had still to be written.
    assert len({second // 60 for second in seconds}) == len(seconds)


def test_a_folder_that_cannot_be_written_is_said_once_and_hurts_no_camera(
    clips: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config(
        {
            "name": "bad",
            "url": "day.mp4",
            "collect": {"folder": "blocked/bad"},
            "translate": "never",
            "snapshot": "bad.png",
        },
        {"name": "good", "url": "day.mp4", "collect": {"folder": "training/good"}},
    )
    Path("blocked").write_text("a file where the folder was to be")
    outcome = play(
        settings,
        engines={},
        until=lambda cameras: (
            collected(cameras["good"]) >= 3 and cameras["bad"].stats.collected.get("failed", 0) >= 3
        ),
    )
    assert outcome.problems == ()
    bad, good = outcome.cameras
    assert (collected(bad), bad.stats.dropped) == (0, {})
    assert bad.stats.passed > 0
    assert good.stats.collected == {"day": len(names(Path("training/good/day")))}
    assert Path("bad.png").is_file()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"bad: cannot collect pictures in {Path('blocked/bad')}: Not a directory"]


def test_a_reload_begins_to_collect(clips: Path) -> None:
    before = config({"name": "gate", "url": "day.mp4", "translate": "never"})
    after = config(
        {"name": "gate", "url": "day.mp4", "translate": "never", "collect": {"folder": "training/gate"}}
    )
    commands, asked = CommandQueue(), list[bool]()

    def until(cameras: dict[str, CameraStatus]) -> bool:
        if cameras["gate"].pictures and not asked:
            asked.append(True)
            commands.put("reload")
        return collected(cameras["gate"]) >= 2

    outcome = play(before, engines={}, commands=commands, until=until, reload=lambda: Setup(after, {}))
    assert outcome.problems == ()
    assert len(names(Path("training/gate/day"))) >= 2
