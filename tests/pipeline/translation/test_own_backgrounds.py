"""A camera that needs its own backgrounds: brightened, and marked so, until they are known; then translated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.engines.backends.base import Engine, Translation
from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.backgrounds import UNKNOWN, Backgrounds
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, Histogram, StatsSnapshot
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.scene.background import Background
from nightday.pipeline.scene.night_gate import NightGate
from nightday.pipeline.serving.probation import Probation
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.supervision.camera_parts import OWN_EVERY, OWN_FRAMES, state_file
from nightday.pipeline.translation.camera_pictures import CameraPictures
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.own_backgrounds import (
    LEARNING_NIGHT,
    NO_DAY,
    NO_INPUTS,
    STARTING,
    why_brightened,
)
from nightday.pipeline.translation.worker import Worker
from nightday.pipeline.translation.worker_pool import WorkerPool
from tests.support.engines import EngineStub

SIZE = (144, 176)
KNOWN = np.zeros((*SIZE, 3), np.uint8)


class Taking(EngineStub):
    """An engine that takes backgrounds, and paints all grey."""

    needs_backgrounds = True

    def __init__(self, *, ready: bool = True) -> None:
        self.ready = ready
        self.preparing = threading.Event()
        self.calls = 0

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        self.calls += 1
        return np.full_like(frames, 128)

    def prepared(self, height: int, width: int) -> bool:
        return self.ready

    def prepare(self, height: int, width: int) -> None:
        self.preparing.set()


class Output:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def offer(self, picture: Picture) -> bool:
        self.pictures.append(picture)
        return True


class Known(CameraPictures):
    """Pictures of a camera whose backgrounds are what a test says."""

    def __init__(self, known: Backgrounds, faults: Any) -> None:
        super().__init__(faults=faults)
        self.known = known

    @property
    def backgrounds(self) -> Backgrounds:
        return self.known


def translated(engine: EngineStub, pictures: Callable[[Any], CameraPictures]) -> Picture:
    """What becomes of one dark frame of a camera with these pictures."""
    return _shown(engine, pictures, 24)[0]


def shown(engine: EngineStub, known: Backgrounds, level: int = 24) -> tuple[Picture, StatsSnapshot]:
    """What becomes of one dark frame."""
    return _shown(engine, lambda faults: Known(known, faults), level)


def _shown(
    engine: EngineStub, pictures: Callable[[Any], CameraPictures], level: int
) -> tuple[Picture, StatsSnapshot]:
    ready = threading.Condition()
    stats, output = CameraStats(), Output()
    config = CameraConfig.model_construct(name="gate", translate="always", url=CameraUrl("rtsp://10.0.0.5/s"))
    slot = LatestSlot(ready=ready, stats=stats, max_age=None)
    channel = Channel(config=config, stats=stats, slot=slot, engine=engine, own_backgrounds=True)
    channel.pictures = pictures(channel.faults)
    channel.outputs = [output]  # type: ignore[list-item]
    pool = WorkerPool(
        {"gate": channel},
        ready=ready,
        max_batch=8,
        stop=threading.Event(),
        batches=Histogram(BATCH_BOUNDS),
        clock=SystemClock(),
    )
    rgb = np.full((*SIZE, 3), level, np.uint8)
    video = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    slot.put(Frame("gate", video, 0, Fraction(1, 25), 0.0, 0.0))
    pool.finish()
    pool.run()
    assert pool.error is None
    (picture,) = output.pictures
    return picture, stats.snapshot()


def mark(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(picture.rgb)[-15:, -60:]


def test_at_night_with_no_day_seen_it_is_brightened_and_marked_and_counted() -> None:
    engine = Taking()
    picture, stats = shown(engine, UNKNOWN)
    assert not picture.translated
    assert (stats.brightened, stats.translated, stats.passed) == (1, 0, 0)
    assert engine.calls == 0
    rgb = np.asarray(picture.rgb)
    assert 60 < np.median(rgb[:100]) < 130  # not 24, and not the engine's 128
    translated, _ = shown(engine, Backgrounds(KNOWN, KNOWN))
    assert (mark(picture) != mark(translated)).any()  # other words


def test_with_both_backgrounds_it_is_translated() -> None:
    engine = Taking()
    picture, stats = shown(engine, Backgrounds(KNOWN, KNOWN))
    assert picture.translated
    assert (stats.brightened, stats.translated, engine.calls) == (0, 1, 1)


def test_while_the_engine_starts_nothing_is_dropped() -> None:
    engine = Taking(ready=False)
    picture, stats = shown(engine, Backgrounds(KNOWN, KNOWN))
    assert not picture.translated
    assert (stats.brightened, stats.dropped) == (1, {})
    assert engine.preparing.wait(60)


def test_an_engine_without_inputs_for_backgrounds_is_never_shown() -> None:
    """It holds another camera's background."""
    picture, stats = shown(EngineStub(lambda frames: 255 - frames), Backgrounds(KNOWN, KNOWN))
    assert not picture.translated
    assert stats.brightened == 1


@pytest.mark.parametrize(
    ("engine", "known", "why"),
    [
        (Taking(), UNKNOWN, NO_DAY),
        (EngineStub(), UNKNOWN, NO_DAY),
        (Taking(), Backgrounds(night=KNOWN), NO_DAY),
        (Taking(), Backgrounds(day=KNOWN), LEARNING_NIGHT),
        (Taking(), Backgrounds(KNOWN[:-2], KNOWN[:-2]), LEARNING_NIGHT),  # of another size
        (EngineStub(), Backgrounds(KNOWN, KNOWN), NO_INPUTS),
        (Taking(), Backgrounds(KNOWN, KNOWN), ""),
    ],
)
def test_why(engine: EngineStub, known: Backgrounds, why: str) -> None:
    assert why_brightened(engine, known, *SIZE) == why
    assert why != STARTING


def test_a_background_without_a_place_is_kept_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(url: str) -> Path:
        config = CameraConfig.model_construct(name="gate", url=CameraUrl(url))
        return state_file(config)

    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one = at("rtsp://a:geheim@10.0.0.5/s")
    assert one.parent == tmp_path / "nightday-stream" / "backgrounds"
    assert one != at("rtsp://10.0.0.6/s")
    assert one == at("rtsp://a:neu@10.0.0.5/s")  # a new password is the same camera
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/nightday:/other")
    assert at("rtsp://10.0.0.6/s").parent == Path("/var/lib/nightday/backgrounds")
    background = Background(camera="gate", frames=3, every=1.0, state=one, lasting=True)
    picture = np.full((48, 64, 3), 90, np.uint8)
    background.observe(picture, time="day", seconds=0.0)
    background.finish()
    assert background.checkpoint(final=True)
    assert one.is_file()
    assert not background.save()  # there is no PNG


def test_a_stranger_is_shown_as_day_within_a_minute_of_its_first_dusk() -> None:
    """From the first picture by day on, with the sampling of a camera whose configuration says nothing of it."""
    scene = np.kron(np.random.default_rng(5).integers(60, 250, (12, 16, 3)), np.ones((6, 6, 1))).astype(
        np.uint8
    )
    ready, stop = threading.Condition(), threading.Event()
    stats, output, engine = CameraStats(), Output(), Taking()
    config = CameraConfig.model_construct(name="gate", translate="night", url=CameraUrl("rtsp://10.0.0.5/s"))
    channel = Channel(
        config=config,
        stats=stats,
        slot=LatestSlot(ready=ready, stats=stats, max_age=None),
        engine=engine,
        gate=NightGate(),
        own_backgrounds=True,
    )
    background = Background(
        camera="gate",
        frames=OWN_FRAMES,
        every=OWN_EVERY,
        lasting=True,
        told_by="night",
        publish=lambda _: None,
    )
    channel.pictures = CameraPictures(faults=channel.faults, background=background)
    channel.outputs = [output]  # type: ignore[list-item]
    pool = WorkerPool(
        {"gate": channel},
        ready=ready,
        max_batch=8,
        stop=stop,
        batches=Histogram(BATCH_BOUNDS),
        clock=SystemClock(),
    )
    worker = Worker(pool._shared)
    step = Fraction(2, 5)
    videos = [
        av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        for picture in (scene, scene // 8)
    ]

    def show(video: av.VideoFrame, number: int) -> Picture:
        worker.process([(channel, Frame("gate", video, number, step, 0.0, 0.0))])
        return output.pictures[-1]

    for number in range(75):  # half a minute of day
        assert np.abs(np.asarray(show(videos[0], number).rgb).astype(int) - scene).mean() < 6
    assert stats.snapshot().passed == 75
    assert channel.learnt("day") > 0.4  # type: ignore[operator]
    shown = [show(videos[1], number) for number in range(75, 75 + 150)]
    first = next(index for index, picture in enumerate(shown) if picture.translated)
    assert first * step < 60
    assert all(picture.translated for picture in shown[first:])
    counts = stats.snapshot()
    assert counts.brightened > 0
    assert counts.translated == len(shown) - first
    given = channel.backgrounds
    assert given.day is not None
    assert given.night is not None
    assert np.abs(given.day.astype(int) - scene).mean() < 6  # and no dusk in it
    assert np.abs(given.night.astype(int) - scene // 8).mean() < 6


class Mixing(EngineStub):
    """Takes a batch, and paints each frame as the mean of its own backgrounds; trust is of another size.

    ``shares`` are what it says it ran on: of the next frames, in turn.
    """

    needs_backgrounds = True

    def __init__(self, shares: Sequence[float] = ()) -> None:
        super().__init__()
        self.shares = list(shares)
        self.batches: list[tuple[Any, Any]] = []

    def translate(self, frames: Any, day_background: Any = None, night_background: Any = None) -> Any:
        self.batches.append((day_background, night_background))
        pairs = zip(day_background, night_background, strict=True)
        days = np.stack([np.uint8(by_day // 2 + by_night // 2) for by_day, by_night in pairs])
        ran = [self.shares.pop(0) for _ in frames] if self.shares else None
        return Translation(days, days[:, ::2, ::2] // 3, None if ran is None else tuple(ran))


@pytest.mark.parametrize("on_probation", [False, True])
def test_frames_of_many_cameras_go_through_in_one_batch_each_with_its_own_backgrounds(
    rng: np.random.Generator, on_probation: bool
) -> None:
    part = float(rng.uniform(0.01, 0.99))
    mixing, ready = Mixing([0.0, part, 1.0]), threading.Condition()
    engine: Engine = mixing
    if on_probation:
        engine = Probation(mixing, before=Mixing(), usual={}, clock=SystemClock())
    channels: dict[str, Channel] = {}
    shown: dict[str, Output] = {}
    video = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 24, np.uint8), format="rgb24")
    known: dict[str, Backgrounds] = {}
    for number, name in enumerate(("gate", "yard", "roof")):
        stats = CameraStats()
        config = CameraConfig.model_construct(
            name=name, translate="always", url=CameraUrl(f"rtsp://10.0.0.{number}/s")
        )
        slot = LatestSlot(ready=ready, stats=stats, max_age=None)
        channel = Channel(config=config, stats=stats, slot=slot, engine=engine, own_backgrounds=True)
        known[name] = Backgrounds(KNOWN + np.uint8(100 + 40 * number), KNOWN + np.uint8(20))
        channel.pictures = Known(known[name], channel.faults)
        output = shown[name] = Output()
        channel.outputs = [output]  # type: ignore[list-item]
        channels[name] = channel
        slot.put(Frame(name, video, 0, Fraction(1, 25), 0.0, 0.0))
    pool = WorkerPool(
        channels,
        ready=ready,
        max_batch=8,
        stop=threading.Event(),
        batches=Histogram(BATCH_BOUNDS),
        clock=SystemClock(),
    )
    pool.finish()
    pool.run()
    assert pool.error is None
    ((by_day, by_night),) = mixing.batches
    # The very arrays, so that an engine knows again what it has seen.
    assert [id(one) for one in by_day] == [id(one.day) for one in known.values()]
    assert [id(one) for one in by_night] == [id(one.night) for one in known.values()]
    for number, output in enumerate(shown.values()):
        (picture,) = output.pictures
        level = (100 + 40 * number) // 2 + 10
        assert picture.translated
        assert (np.asarray(picture.rgb)[:100] == level).all()
        assert picture.trust is not None
        np.testing.assert_array_equal(picture.trust, np.full((72, 88, 3), level // 3, np.uint8))
    counted = [channel.stats.snapshot() for channel in channels.values()]
    assert [one.generator_share for one in counted] == [0, part, 1]
    assert [one.ran for one in counted] == [{"none": 1}, {"parts": 1}, {"whole": 1}]


def test_the_newest_trust_map_is_kept_and_outlives_a_picture_without_one() -> None:
    engine, stats = Mixing(), CameraStats()
    config = CameraConfig.model_construct(
        name="gate", translate="always", url=CameraUrl("rtsp://10.0.0.5/s"), overlay="none"
    )
    slot = LatestSlot(ready=threading.Condition(), stats=stats)
    channel = Channel(config=config, stats=stats, slot=slot, engine=engine, own_backgrounds=True)
    known = Known(UNKNOWN, channel.faults)
    channel.pictures = known
    pool = WorkerPool(
        {"gate": channel},
        ready=threading.Condition(),
        max_batch=8,
        stop=threading.Event(),
        batches=Histogram(BATCH_BOUNDS),
        clock=SystemClock(),
    )
    worker = Worker(pool._shared)
    video = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 24, np.uint8), format="rgb24")

    def show(number: int, backgrounds: Backgrounds) -> None:
        known.known = backgrounds
        worker.process([(channel, Frame("gate", video, number, Fraction(1, 25), 0.0, 1000.0 + number))])

    show(0, UNKNOWN)
    assert channel.trust is None
    show(1, Backgrounds(KNOWN + np.uint8(60), KNOWN))
    show(2, Backgrounds(KNOWN + np.uint8(90), KNOWN))
    show(3, UNKNOWN)
    assert (stats.snapshot().translated, stats.snapshot().brightened) == (2, 2)
    assert channel.trust is not None
    assert (channel.trust.size, channel.trust.pixel_aspect, channel.trust.wall_time) == (SIZE, 1, 1002.0)
    np.testing.assert_array_equal(np.asarray(channel.trust.shares), np.full((72, 88, 3), 15, np.uint8))
    newest = channel.newest
    assert newest is not None
    assert (newest.pixel_aspect, newest.wall_time) == (1, 1003.0)
    assert (np.asarray(newest.seen) == 24).all()  # nothing is drawn into it
    shown = np.asarray(newest.shown)
    assert (shown[: SIZE[0] // 2] > 24).all()
    assert shown[-20:].max() > 200  # the letters of the mark


def test_backgrounds_that_are_lost_on_the_way_cost_nothing() -> None:
    """A camera is moved, and its backgrounds dropped, between the frame being taken and being translated."""

    class Moving(Known):
        asked = 0

        @property
        def backgrounds(self) -> Backgrounds:
            self.asked += 1
            return self.known if self.asked == 1 else UNKNOWN

    engine = Mixing()
    made = translated(engine, lambda faults: Moving(Backgrounds(KNOWN + np.uint8(90), KNOWN), faults))
    assert made.translated
    assert len(engine.batches) == 1
