"""Batches across cameras: oldest first, of one kind, no larger than asked, and without polling."""

import random
import threading
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from benchmarks import batching
from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.backgrounds import UNKNOWN
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.translation.batcher import HELD_MOST, IDLE, Batcher
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.engine_call import call_engine, translate
from tests.support.engines import EngineStub


class StillClock:
    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.is_set()


class Yard:
    """A few cameras' slots and the batcher on them."""

    def __init__(self, names: Iterable[str], max_batch: int = 8) -> None:
        self.ready = threading.Condition()
        self.channels = {name: self._line(name) for name in names}
        self.closed = threading.Event()
        self.clock = StillClock()
        self.batcher = Batcher(
            ready=self.ready,
            max_batch=max_batch,
            kind=lambda _, frame: (frame.video.width, frame.video.height),
            clock=self.clock,
        )
        for channel in self.channels.values():
            self.batcher.add(channel)

    def _line(self, name: str) -> Channel:
        stats = CameraStats()
        config = CameraConfig.model_validate(
            {"name": name, "url": "rtsp://10.0.0.5/s", "translate": "always"}
        )
        return Channel(config=config, stats=stats, slot=LatestSlot(ready=self.ready, stats=stats))

    def put(self, camera: str, at: float, width: int = 64) -> None:
        video = av.VideoFrame(width, 48, "yuv420p")
        self.channels[camera].slot.put(Frame(camera, video, int(at * 1000), Fraction(1, 1000), at, at))

    def next(self) -> list[list[str]]:
        """The cameras of the next batches, which are worked off at once."""
        batches = self.batcher.next(self.closed)
        self.batcher.done(batches)
        return [[frame.camera for _, frame in batch] for batch in batches]


def test_oldest_first_and_no_more_than_fit() -> None:
    yard = Yard("abcde", max_batch=3)
    for camera, at in zip("abcde", (5, 1, 4, 2, 3), strict=True):
        yard.put(camera, at=at)
    assert yard.next() == [["b", "d", "e"]]
    assert yard.next() == [["c", "a"]]


def test_cameras_in_step_slow_evenly_under_overload() -> None:
    yard = Yard("abcde", max_batch=2)
    served = []
    for step in range(25):  # each has a new frame at every step, always in the same order
        for offset, camera in enumerate("abcde"):
            yard.put(camera, at=step + offset / 10)
        (batch,) = yard.next()
        assert len(batch) == 2
        served += batch
    assert [served.count(camera) for camera in "abcde"] == [10] * 5
    assert max(len(gap) for camera in "abcde" for gap in "".join(served).split(camera)) <= 5


def test_still_scenes_are_not_as_slow_as_busy_ones_under_overload() -> None:
    """Of four cameras that always have a frame, those whose frames cost little have more; the others hardly fewer."""
    yard = Yard("abcd", max_batch=1)
    costs = {"a": 0.002, "b": 0.002, "c": 0.03, "d": 0.03}
    served, seconds = "", 0.0
    while seconds < 20:
        for camera in costs:
            yard.put(camera, at=seconds)
        batches = yard.batcher.next(yard.closed)
        ((((_, frame),),)) = batches
        served, seconds = served + frame.camera, seconds + costs[frame.camera]
        yard.batcher.done(batches, costs[frame.camera])
    evenly = 20 / sum(costs.values())
    for camera in "ab":
        assert served.count(camera) > 2 * evenly
    for camera in "cd":
        assert served.count(camera) > 0.8 * evenly


def test_one_kind_a_batch() -> None:
    yard = Yard("abc")
    yard.put("a", at=1)
    assert yard.next() == [["a"]]
    yard.put("b", at=2, width=96)
    assert yard.next() == [["b"]]
    for camera in "ac":
        yard.put(camera, at=3)
    assert yard.next() == [["c", "a"]]
    for at, camera, width in ((5.0, "a", 64), (4.0, "b", 96), (4.5, "c", 64)):
        yard.put(camera, at=at, width=width)
    assert yard.next() == [["b"]]  # its last turn is longest ago, too
    assert yard.next() == [["c", "a"]]


def test_a_camera_that_changed_size_comes_as_a_batch_of_its_own() -> None:
    yard = Yard("ab")
    for camera in "ab":
        yard.put(camera, at=1)
        yard.next()
    yard.put("a", at=2)
    yard.put("b", at=3, width=96)
    assert yard.next() == [["a"], ["b"]]
    yard.put("a", at=4)
    yard.put("b", at=5, width=96)
    assert yard.next() == [["a"]]
    assert yard.next() == [["b"]]


class Lanes(EngineStub):
    """An engine that takes two calls at once."""

    at_once = 2

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        return frames


def test_a_frame_for_each_call_that_the_engine_takes_at_once() -> None:
    yard, engine = Yard("abcd"), Lanes()
    for channel in yard.channels.values():
        channel.engine = engine
    for camera, at in zip("abcd", (1, 2, 3, 4), strict=True):
        yard.put(camera, at=at)
    first, second = (yard.batcher.next(yard.closed) for _ in range(2))
    assert [[frame.camera for _, frame in batch] for batch in (*first, *second)] == [["a"], ["b"]]
    yard.put("a", at=5)
    began = time.monotonic()
    assert yard.batcher.next(yard.closed) == []  # both are busy
    assert time.monotonic() - began >= IDLE / 2
    yard.batcher.done(second)
    assert yard.next() == [["c"]]
    assert yard.next() == [["d"]]
    yard.put("b", at=6)
    assert yard.next() == [["b"]]  # a's older frame waits for the one before it
    yard.batcher.done(first)
    assert yard.next() == [["a"]]


def test_who_needs_no_engine_does_not_run_ahead_of_who_waits_for_one() -> None:
    """Two turns for one of the slowest, whichever worker is free; and none is held up for longer than a second."""
    yard = Yard("abn")
    yard.channels["n"].engine = Lanes()
    yard.put("n", at=1)
    slow = yard.batcher.next(yard.closed)  # a worker is busy with it from now on
    yard.put("n", at=2)
    served: list[str] = []
    for step in range(10):
        for camera in "ab":
            yard.put(camera, at=3 + step)
        with yard.ready:
            pending = yard.batcher._pending()
        if pending:
            served += [camera for batch in yard.next() for camera in batch]
    assert sorted(served) == ["a", "a", "b", "b"]
    yard.batcher.done(slow)
    assert yard.next() == [["n"]]
    assert sorted(camera for batch in yard.next() for camera in batch) == ["a", "b"]
    yard.put("n", at=30)
    slow = yard.batcher.next(yard.closed)  # and it hangs
    yard.put("n", at=31)
    for second in range(1, 4):
        for camera in "ab":
            yard.put(camera, at=31 + second)
        yard.clock.now += HELD_MOST
        assert sorted(camera for batch in yard.next() for camera in batch) == ["a", "b"]


def test_nobody_waits_for_a_file_that_goes_as_fast_as_it_can() -> None:
    yard = Yard("an")
    yard.channels["n"].engine, yard.channels["n"].lossless = Lanes(), True
    yard.put("n", at=1)
    yard.batcher.next(yard.closed)
    yard.put("n", at=2)
    for step in range(10):
        yard.put("a", at=3 + step)
        assert yard.next() == [["a"]]


def test_a_file_that_goes_as_fast_as_it_can_waits_for_nobody_but_others() -> None:
    yard = Yard("n")
    yard.channels["n"].lossless = True
    for step in range(10):
        yard.put("n", at=step)
        assert yard.next() == [["n"]]


def test_any_other_engine_has_one_batch_at_a_time() -> None:
    yard = Yard("abc", max_batch=2)
    yard.channels["c"].engine = Lanes()
    same = EngineStub()
    for channel in (yard.channels["a"], yard.channels["b"]):
        channel.engine = same
    yard.put("a", at=1)
    batches = yard.batcher.next(yard.closed)
    for camera, at in (("b", 2), ("c", 3)):
        yard.put(camera, at=at)
    assert yard.next() == [["c"]]
    yard.batcher.done(batches)
    assert yard.next() == [["b"]]


def calling(engine: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """What the stage calls, around an engine."""
    stub = EngineStub(engine)
    return lambda frames, _: call_engine(stub, frames)


def test_sleeps_until_a_frame_comes_or_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nightday.pipeline.translation.batcher.IDLE", 60.0
    )  # a busy machine may take a second
    yard = Yard("a")
    waits = []
    real = yard.ready.wait

    def counted(timeout: float | None = None) -> bool:
        waits.append(timeout)
        asleep.set()
        return real(timeout)

    asleep = threading.Event()
    yard.ready.wait = counted  # type: ignore[method-assign]
    results: list[list[list[str]]] = []
    thread = threading.Thread(target=lambda: results.extend([yard.next(), yard.next()]))
    thread.start()
    assert asleep.wait(60)
    asleep.clear()
    yard.put("a", at=1)
    assert asleep.wait(60)
    yard.closed.set()
    with yard.ready:
        yard.ready.notify_all()
    thread.join(60)
    assert results == [[["a"]], []]
    assert waits == [pytest.approx(60.0, abs=0.1)] * 2  # it slept twice; one sign of life in that time is all


def test_without_frames_it_returns_now_and_then_to_show_it_is_alive() -> None:
    assert Yard("a").next() == []


def test_a_camera_taken_away_is_left_alone_and_one_put_back_is_taken_again() -> None:
    yard = Yard("ab")
    yard.batcher.remove("a")
    yard.put("a", at=1)
    yard.put("b", at=2)
    assert yard.next() == [["b"]]
    yard.batcher.add(yard.channels["a"])
    assert yard.next() == [["a"]]


def test_closed_still_hands_out_what_waits() -> None:
    yard = Yard("ab")
    yard.put("a", at=1)
    yard.closed.set()
    assert yard.next() == [["a"]]
    assert yard.next() == []


def test_an_engine_error_costs_only_the_frame_at_fault() -> None:
    sizes = []

    def engine(frames: Any) -> Any:
        sizes.append(len(frames))
        if (frames == 13).all(axis=(1, 2, 3)).any():
            raise RuntimeError("thirteen")
        return 255 - frames

    pictures: list[Any] = [np.full((4, 5, 3), value, np.uint8) for value in (1, 13, 2)]
    first, failed, last = translate(calling(engine), pictures, [UNKNOWN] * 3, device=None)
    assert isinstance(failed, RuntimeError)
    assert not isinstance(first, Exception)
    assert not isinstance(last, Exception)
    np.testing.assert_array_equal(first[0], 254)
    np.testing.assert_array_equal(last[0], 253)
    assert sizes == [3, 1, 1, 1]


@pytest.mark.parametrize("wrong", [lambda frames: frames[..., :2], lambda frames: frames.astype(np.float32)])
def test_an_engine_that_breaks_its_promise_is_an_error(wrong: Callable[[Any], Any]) -> None:
    pictures: list[Any] = [np.zeros((4, 5, 3), np.uint8)] * 2
    for result in translate(calling(wrong), pictures, [UNKNOWN] * 2, device=None):
        assert isinstance(result, ValueError)
        assert "(1, 4, 5, 3)" in str(result)


def test_an_engine_that_loses_frames_of_a_batch_is_run_one_at_a_time() -> None:
    pictures: list[Any] = [np.full((4, 5, 3), value, np.uint8) for value in (1, 2)]
    made: list[Any] = translate(calling(lambda frames: frames[:1]), pictures, [UNKNOWN] * 2, device=None)
    np.testing.assert_array_equal([day for day, *_ in made], pictures)


def test_a_read_only_result_can_be_drawn_on() -> None:
    def engine(frames: Any) -> Any:
        result = frames.copy()
        result.flags.writeable = False
        return result

    (made,) = translate(calling(engine), [np.zeros((4, 5, 3), np.uint8)], [UNKNOWN], device=None)
    assert not isinstance(made, Exception)
    made[0][0, 0] = 1


@pytest.mark.slow
def test_under_load_batches_fill_by_themselves() -> None:
    """32 cameras of 25 fps and an engine of 800 fps in batches of 16: none of it is left unused."""
    row = batching.run("gpu", 32, window=True, seconds=2.0, seed=random.randrange(2**32))
    print(row)
    assert row["occupancy"] > 0.8
    assert row["held"] < 0.1
