"""The workers, while their cameras change under them."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, Histogram, Stage
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.worker_pool import WorkerPool
from tests.support.engines import EngineStub
from tests.support.media_helpers import FakeClock

Pixels = NDArray[np.uint8]


class Engine(EngineStub):
    """Keeps how many frames each call had."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        self.batches.append(len(frames))
        return frames


def test_a_frame_taken_before_its_camera_was_replaced_goes_through_no_engine_but_its_own() -> None:
    ready = threading.Condition()
    old, new = Engine(), Engine()

    def channel(name: str, engine: Engine) -> Channel:
        stats = CameraStats()
        config = CameraConfig.model_validate(
            {"name": name, "url": "rtsp://10.0.0.5/s", "translate": "always"}
        )
        return Channel(
            config=config, stats=stats, slot=LatestSlot(ready=ready, stats=stats, max_age=None), engine=engine
        )

    channels = {name: channel(name, old) for name in "ab"}
    kept = channels["b"]
    pool = WorkerPool(
        channels,
        ready=ready,
        max_batch=8,
        stop=threading.Event(),
        batches=Histogram(BATCH_BOUNDS),
        clock=FakeClock(),
    )
    for number, each in enumerate(channels.values()):
        video = av.VideoFrame(64, 48, "yuv420p")
        each.slot.put(Frame(each.name, video, number, Fraction(1, 25), float(number), 0.0))
    successor, take = channel("a", new), pool.batcher.next

    def replaced(closed: threading.Event) -> Any:
        batches = take(closed)
        if batches:
            pool.add(successor)
        return batches

    pool.batcher.next = replaced  # type: ignore[method-assign]
    pool.finish()
    pool.run()
    assert pool.error is None
    assert (old.batches, new.batches) == (
        [1],
        [],
    )  # the other camera's frame; that of the old line is dropped
    assert kept.stats.snapshot().translated == 1
    assert successor.stats.snapshot().translated == 0


class Lanes(EngineStub):
    """An engine that takes two calls at once, each of which waits for another to be under way."""

    at_once = 2

    def __init__(self) -> None:
        self.both = threading.Barrier(2, timeout=20)
        self.sizes: list[int] = []

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        self.sizes.append(len(frames))
        self.both.wait()
        return frames


class Output:
    """An output that keeps the time stamps of what comes."""

    def __init__(self) -> None:
        self.stamps: list[int] = []

    def offer(self, picture: Picture) -> bool:
        self.stamps.append(picture.frame.pts)
        return True


def _line(name: str, ready: threading.Condition, engine: Any) -> Channel:
    stats = CameraStats()
    config = CameraConfig.model_validate({"name": name, "url": "rtsp://10.0.0.5/s", "translate": "always"})
    slot = LatestSlot(ready=ready, stats=stats, max_age=None)
    return Channel(config=config, stats=stats, slot=slot, engine=engine)


def _pool(channels: dict[str, Channel], ready: threading.Condition, ended: threading.Event) -> WorkerPool:
    return WorkerPool(
        channels,
        ready=ready,
        max_batch=8,
        stop=threading.Event(),
        batches=Histogram(BATCH_BOUNDS),
        clock=SystemClock(),
        on_end=ended.set,
    )


def _frame(name: str, number: int) -> Frame:
    return Frame(
        name, av.VideoFrame(64, 48, "yuv420p"), number, Fraction(1, 25), time.monotonic(), time.time()
    )


def test_calls_side_by_side_and_each_cameras_pictures_in_order() -> None:
    ready, ended, never, engine = threading.Condition(), threading.Event(), threading.Event(), Lanes()
    channels = {name: _line(name, ready, engine) for name in "ab"}
    outputs = {name: Output() for name in channels}
    for name, channel in channels.items():
        channel.outputs = [outputs[name]]  # type: ignore[list-item]
    pool = _pool(channels, ready, ended)
    pool.start()
    for number in range(30):
        for name, channel in channels.items():
            assert channel.slot.put_wait(_frame(name, number), cancelled=never)
    pool.finish()
    pool.join(20)
    assert not pool.is_alive()
    assert ended.is_set()
    assert pool.error is None
    assert engine.sizes == [1] * 60
    assert outputs["a"].stamps == outputs["b"].stamps == list(range(30))


def test_a_worker_is_hired_for_an_engine_that_comes_later() -> None:
    ready, ended, engine = threading.Condition(), threading.Event(), Lanes()
    channels = {name: _line(name, ready, Engine()) for name in "ab"}
    pool = _pool(channels, ready, ended)
    pool.start()
    pool.swap(dict.fromkeys("ab", engine))
    for name, channel in channels.items():
        channel.slot.put(_frame(name, 0))
    pool.finish()
    pool.join(20)
    assert engine.sizes == [1, 1]
    assert not engine.both.broken
    assert [channel.stats.snapshot().translated for channel in channels.values()] == [1, 1]


class Broken(CameraStats):
    """Cannot count latencies."""

    def count_latency(self, seconds: float, *, stage: Stage = "output") -> None:
        raise ZeroDivisionError


def test_one_worker_that_fails_ends_all() -> None:
    ready, ended, engine = threading.Condition(), threading.Event(), Lanes()
    channels = {name: _line(name, ready, engine) for name in "ab"}
    channels["b"].stats = Broken()
    pool = _pool(channels, ready, ended)
    pool.start()
    for name, channel in channels.items():
        channel.slot.put(_frame(name, 0))
    pool.join(20)
    assert not pool.is_alive()
    assert ended.is_set()
    assert isinstance(pool.error, ZeroDivisionError)
    assert channels["b"].stats.snapshot().dropped == {"loop_failed": 1}
    assert channels["a"].stats.snapshot().dropped == {}
