"""When packets are due, against networks that are simulated packet by packet."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from nightday.pipeline.sources.playout import HOLD_MOST, Playout

Packets = list[tuple[float, float]]
"""The time stamp of each packet, and when it arrives, in seconds."""


def played(packets: Packets, *, believed: bool = True) -> list[float]:
    """When each packet is played by one who looks at each arrival and whenever a packet is due."""
    playout, at, waiting, number = Playout(), list[float](), 0, 0
    now = packets[0][1]
    while len(at) < len(packets):
        while number < len(packets) and packets[number][1] <= now:
            playout.arrived(*packets[number], believed=believed)
            number, waiting = number + 1, waiting + 1
        coming = packets[number][1] if number < len(packets) else math.inf
        if not waiting:
            now = coming
        elif (due := playout.due(now)) <= now:
            playout.play(due)
            at.append(now)
            waiting -= 1
        else:
            now = min(due, coming)
    return at


def held(packets: Packets) -> list[float]:
    return [at - came for (_, came), at in zip(packets, played(packets), strict=True)]


def gaps(packets: Packets) -> list[float]:
    return [later - earlier for earlier, later in pairwise(played(packets))]


def in_bursts(every: float, *, rate: float = 10.0, seconds: float = 40.0) -> Packets:
    return [
        (n / rate, math.ceil(n / rate / every - 1e-9) * every + n % 50 * 1e-4)
        for n in range(round(rate * seconds))
    ]


def in_pieces(length: float, *, stored: int = 3, rate: float = 25.0, pieces: int = 20) -> Packets:
    """HLS: the newest ``stored`` pieces at once, then one whenever it is complete."""
    packets, came = [], 0.0
    for piece in range(pieces):
        came = max(came, (piece - stored + 1) * length)
        for number in range(round(length * rate)):
            packets.append((piece * length + number / rate, came))
            came += 5e-4
    return packets


def test_a_camera_that_sends_evenly_is_not_delayed() -> None:
    rng = random.Random(3)
    assert max(held([(n / 25, n / 25) for n in range(500)])) < 1e-6
    assert max(held([(n / 25, n / 25 + rng.random() * 0.02) for n in range(500)])) < 0.021


@pytest.mark.parametrize("every", [0.3, 1.0, 2.0, 2.4])
def test_bursts_are_played_evenly(every: float) -> None:
    packets = in_bursts(every)
    assert max(held(packets)) <= every
    assert gaps(packets)[30:] == pytest.approx([0.1] * (len(packets) - 31), abs=0.02)


@pytest.mark.parametrize("every", [3.0, 6.0, 20.0])
def test_longer_bursts_are_held_no_longer_than_said_and_played_evenly_within_that(every: float) -> None:
    packets = in_bursts(every, seconds=4 * every)
    assert max(held(packets)) <= HOLD_MOST + 1e-6
    assert min(gaps(packets)) > 0.9 * HOLD_MOST / every * 0.1


@pytest.mark.parametrize("length", [2.0, 4.0, 6.0])
def test_pieces_are_played_evenly_enough_for_each_picture_to_be_taken(length: float) -> None:
    packets = in_pieces(length)
    assert max(held(packets)) <= HOLD_MOST + 1e-6
    assert sorted(gaps(packets))[len(packets) // 100] > 0.005


def test_without_a_clock_to_go_by_a_burst_is_played_at_the_average_rate() -> None:
    packets = [(7.0, came) for _, came in in_bursts(1.0)]
    at = played(packets, believed=False)
    assert min(later - earlier for earlier, later in pairwise(at[50:])) > 0.06
    waited = [played - came for (_, came), played in zip(packets, at, strict=True)]
    assert max(waited) <= HOLD_MOST  # at first, until the rate is known
    assert max(waited[100:]) < 1.0
    steady = [(7.0, n / 25) for n in range(200)]
    assert played(steady, believed=False) == pytest.approx([came for _, came in steady])


def test_what_was_stored_at_the_start_is_made_up_for() -> None:
    packets = [(n / 25, max(n * 5e-4, n / 25 - 2.0)) for n in range(500)]
    waited = held(packets)
    assert max(waited) <= 2.01  # nothing is lost meanwhile
    assert sorted(gaps(packets))[1] > 0.015  # the one before it goes over to faster play
    late = [wait for wait, at in zip(waited, played(packets), strict=True) if at > 8.0]
    assert max(late) < 0.1


def test_a_late_packet_delays_those_after_it_for_seconds_only() -> None:
    packets = [(n / 25, n / 25 if n != 100 else 4.5) for n in range(500)]
    came = 0.0
    for number, (stamp, at) in enumerate(packets):
        came = max(came, at)
        packets[number] = (stamp, came)
    assert max(wait for (stamp, _), wait in zip(packets, held(packets), strict=True) if stamp > 12) < 0.05


def test_stamps_that_cannot_be_hold_nothing_back_beyond_the_limit() -> None:
    rng = random.Random(5)
    for stamps in (
        [7.0] * 300,
        [rng.random() * 1000 for _ in range(300)],
        [n * 3.6 for n in range(300)],
        [n / 25 + 3600 * (n == 100) for n in range(300)],
    ):
        packets = [(stamp, n / 25) for n, stamp in enumerate(stamps)]
        assert max(held(packets)) <= HOLD_MOST + 1e-6
    assert max(wait for wait in held(packets)) < 0.05  # a single stray one holds up nobody
