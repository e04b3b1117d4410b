"""The newest-wins slot: what is dropped is counted, and a lossless put loses nothing."""

from __future__ import annotations

import threading
from fractions import Fraction

import av

from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.sources.latest_slot import LatestSlot

WAIT = 60.0  # seconds until a test that hangs fails


def make_frame(pts: int, decoded_at: float = 0.0) -> Frame:
    video = av.VideoFrame(16, 16, "yuv420p")
    return Frame("gate", video, pts, Fraction(1, 25), decoded_at, 0.0)


def make_slot() -> tuple[LatestSlot, CameraStats, threading.Condition]:
    ready, stats = threading.Condition(), CameraStats()
    return LatestSlot(ready=ready, stats=stats), stats, ready


def test_newest_wins_and_the_drop_is_counted() -> None:
    slot, stats, _ = make_slot()
    for pts in range(5):
        slot.put(make_frame(pts))
    assert slot.pending
    taken = slot.take()
    assert taken is not None
    assert taken.pts == 4
    assert stats.snapshot().dropped == {"overload": 4}
    assert slot.take() is None
    assert not slot.pending


def test_a_taken_frame_is_not_a_drop() -> None:
    slot, stats, _ = make_slot()
    for pts in range(5):
        slot.put(make_frame(pts))
        assert slot.take() is not None
    assert stats.snapshot().dropped == {}


def test_age_counts_from_decoding() -> None:
    slot, _, _ = make_slot()
    assert slot.peek_age(3.0) is None
    slot.put(make_frame(0, decoded_at=1.0))
    assert slot.peek_age(3.5) == 2.5


def test_one_condition_wakes_the_batcher_for_any_camera() -> None:
    ready = threading.Condition()
    slots = [LatestSlot(ready=ready, stats=CameraStats()) for _ in range(3)]
    taken: list[int] = []
    waiting = threading.Event()

    def batcher() -> None:
        with ready:
            waiting.set()
            while len(taken) < 3:
                assert ready.wait_for(lambda: any(slot.pending for slot in slots), timeout=WAIT)
                taken.extend(frame.pts for slot in slots if (frame := slot.take()) is not None)

    thread = threading.Thread(target=batcher)
    thread.start()
    assert waiting.wait(WAIT)
    for number, slot in enumerate(slots):
        slot.put(make_frame(number))
    thread.join(WAIT)
    assert not thread.is_alive()
    assert sorted(taken) == [0, 1, 2]


def test_waiting_put_loses_nothing() -> None:
    slot, stats, ready = make_slot()
    cancelled = threading.Event()
    thread = threading.Thread(
        target=lambda: [slot.put_wait(make_frame(pts), cancelled=cancelled) for pts in range(500)]
    )
    thread.start()
    taken: list[int] = []
    while len(taken) < 500:
        with ready:
            assert ready.wait_for(lambda: slot.pending, timeout=WAIT)
            frame = slot.take()
        assert frame is not None
        taken.append(frame.pts)
    thread.join(WAIT)
    assert taken == list(range(500))
    assert stats.snapshot().dropped == {}


def test_cancelling_frees_a_waiting_put() -> None:
    slot, _, _ = make_slot()
    cancelled = threading.Event()
    slot.put(make_frame(1))
    results: list[bool] = []
    thread = threading.Thread(
        target=lambda: results.append(slot.put_wait(make_frame(2), cancelled=cancelled))
    )
    thread.start()
    cancelled.set()
    thread.join(WAIT)
    assert results == [False]
    held = slot.take()
    assert held is not None
    assert held.pts == 1


def test_a_frame_older_than_max_age_is_stale_and_one_at_the_limit_is_not() -> None:
    stats = CameraStats()
    slot = LatestSlot(ready=threading.Condition(), stats=stats, max_age=1.0)
    slot.put(make_frame(0, decoded_at=5.0))
    assert slot.take(6.5) is None
    assert not slot.pending
    assert stats.snapshot().dropped == {"stale": 1}
    slot.put(make_frame(1, decoded_at=5.5))
    assert slot.take(6.5) is not None
    assert stats.snapshot().dropped == {"stale": 1}
