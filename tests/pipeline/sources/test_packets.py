"""The thread that reads a live source: what it hands out, when it sees a stall, and how it ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
import pytest

from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.media.clock_watch import ClockWatch
from nightday.pipeline.sources.base import SourceLostError
from nightday.pipeline.sources.packets import PACKETS_MOST, Arrival, LivePackets
from tests.support.rtsp_server import WAIT


def packet(stamp: float | None, size: int = 100) -> Any:
    made = av.Packet(bytes(size))
    made.pts = made.dts = None if stamp is None else round(stamp * 1000)
    return made


class Source:
    """Packets that a test sends, and a count of those that were read."""

    def __init__(self) -> None:
        self._sent: queue.Queue[Any] = queue.Queue()
        self.read = 0

    def send(self, *packets: Any) -> None:
        for one in packets:
            self._sent.put(one)

    def __iter__(self) -> Iterator[Any]:
        while (one := self._sent.get(timeout=WAIT)) is not None:
            if isinstance(one, BaseException):
                raise one
            if callable(one):
                one()
                continue
            self.read += 1
            yield one


class MovedClock(SystemClock):
    """The machine's clock, and what a test adds to it."""

    def __init__(self) -> None:
        self.added = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added


@contextmanager
def reading(
    source: Source, *, clock: SystemClock | None = None, watch: ClockWatch | None = None
) -> Iterator[tuple[LivePackets, threading.Event]]:
    stop = threading.Event()
    packets = LivePackets(
        iter(source),
        time_base=Fraction(1, 1000),
        stall_timeout=4.0,
        watch=watch or ClockWatch(),
        stop=stop,
        clock=clock or SystemClock(),
    )
    try:
        yield packets, stop
    finally:
        stop.set()
        source.send(None)
        packets.close()


def take_all(arrivals: Iterator[Arrival], stamps: list[int]) -> None:
    for arrival in arrivals:
        assert arrival.packet.pts is not None
        stamps.append(arrival.packet.pts)


def test_a_burst_is_handed_out_evenly() -> None:
    source = Source()
    source.send(*(packet(number / 20) for number in range(8)), None)
    with reading(source) as (packets, _):
        handed = [(arrival.at, arrival.waited, arrival.on_time) for arrival in packets]
    assert len(handed) == 8
    assert handed[-1][0] - handed[0][0] < 0.2  # they arrived together
    assert [waited for _, waited, _ in handed[1:]] == pytest.approx([0.05] * 7, abs=0.04)
    assert all(on_time for *_, on_time in handed)


def test_without_a_clock_that_is_believed_nothing_is_held_back() -> None:
    source = Source()
    source.send(*(packet(number * 2.0) for number in range(50)), None)
    with reading(source, watch=ClockWatch(stamped=False)) as (packets, _):  # they come at thousands a second
        assert sum(arrival.waited for arrival in packets) < 1.0


def test_a_picture_that_only_a_time_out_brings_is_the_stall() -> None:
    """FFmpeg's RTSP client answers a read that has timed out with the picture it had held back."""
    clock = MovedClock()

    def later(seconds: float) -> Callable[[], None]:
        return lambda: setattr(clock, "added", clock.added + seconds)

    source = Source()
    source.send(packet(0.0), later(3.9), packet(3.9), later(4.0), packet(4.0), packet(4.04))
    with reading(source, clock=clock) as (packets, _):
        stamps, arrivals = list[int](), iter(packets)
        with pytest.raises(SourceLostError, match="no data for 4 s") as lost:
            take_all(arrivals, stamps)
    assert lost.value.reason == "stall"
    assert stamps == [0, 3900, 4000]  # the picture is not lost


def test_an_error_comes_after_what_was_read_before_it() -> None:
    source = Source()
    source.send(packet(0.0), packet(0.1), ConnectionResetError())
    with reading(source) as (packets, _):
        stamps, arrivals = list[int](), iter(packets)
        with pytest.raises(ConnectionResetError):
            take_all(arrivals, stamps)
    assert stamps == [0, 100]


@pytest.mark.parametrize(("size", "count"), [(10, PACKETS_MOST + 50), (2**20, 50)])
def test_what_waits_is_bounded_and_what_was_read_late_says_so(size: int, count: int) -> None:
    source = Source()
    source.send(*(packet(number / 25, size) for number in range(count)), None)
    clock = MovedClock()
    with reading(source, clock=clock, watch=ClockWatch(stamped=False)) as (packets, _):
        arrivals = iter(packets)
        first = next(arrivals)
        full = threading.Event()
        while not full.wait(0.1):  # nothing tells when it has read enough
            read, _ = source.read, full.wait(0.2)
            if source.read == read:
                full.set()
        assert source.read * size <= 33 * 2**20
        assert source.read <= PACKETS_MOST + 1
        clock.added += 5.0  # a decoder that needs long
        rest = list(arrivals)
    assert first.on_time
    assert len(rest) == count - 1
    assert not rest[-1].on_time


def test_it_ends_while_nobody_takes_its_packets() -> None:
    source = Source()
    source.send(*(packet(number / 25) for number in range(2 * PACKETS_MOST)))
    with reading(source) as (packets, _):
        next(iter(packets))
    assert not packets._thread.is_alive()
