"""Recorded length against the wall clock, for every way in which a camera's clock may go."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

import pytest

from nightday.pipeline.media.clock_watch import ClockWatch
from nightday.pipeline.media.timeline import Timeline

TICKS = 90_000
Pictures = list[tuple[int | None, float]]
"""The PTS of each picture in ticks, and when it arrived in seconds."""
Clock = Callable[[float, int], float | None]
"""What a camera's clock says, in seconds, of the picture that was taken at a time and has a number."""

WRONG: dict[str, Clock] = {
    **{
        f"x{pace:g}": (lambda t, _, pace=pace: t * pace)  # type: ignore[misc]
        for pace in (0.01, 0.1, 0.5, 0.8, 0.9, 0.96, 1.04, 1.1, 1.2, 1.5, 2.0, 3.6, 10.0, 25.0, 90.0)
    },
    "stands still": lambda t, n: 7.0,
    "stands still after 5 s": lambda t, n: min(t, 5.0),
    "no stamps": lambda t, n: None,
    "backwards": lambda t, n: -t,
    "noise": lambda t, n: random.Random(n).random() * 1000,
    "twice as fast after 10 s": lambda t, n: t + max(0.0, t - 10.0),
    "half as fast after 10 s": lambda t, n: t - max(0.0, t - 10.0) / 2,
}
SLIGHTLY = {"x0.9", "x0.96", "x1.04", "x1.1"}
HONEST: dict[str, Clock] = {
    "in step": lambda t, n: t,
    "1 % slow": lambda t, n: t * 0.99,
    "1 % fast": lambda t, n: t * 1.01,
}
RATES = [0.2, 0.5, 1.0, 2.0, 4.0, 5.0, 10.0, 25.0, 60.0]
STRAY = (0.1, 0.3, 0.9, 1.5, 5.0, 60.0, 3600.0, 36_000.0)


@pytest.fixture
def rng() -> random.Random:
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


def pictures(clock: Clock, arrivals: list[float], *, rate: float) -> Pictures:
    start = 50_000.0  # so that no stamp is below 0
    stamps = [clock(number / rate, number) for number in range(len(arrivals))]
    pts = [None if stamp is None else round((start + stamp) * TICKS) for stamp in stamps]
    return list(zip(pts, arrivals, strict=True))


def steady(rate: float, seconds: float, rng: random.Random, *, jitter: float = 0.01) -> list[float]:
    """Arrivals of pictures that are on their way for up to ``jitter`` seconds."""
    return [1000.0 + number / rate + rng.random() * jitter for number in range(round(rate * seconds))]


def placed(sent: Pictures, *, pieces: bool = False) -> tuple[list[int], ClockWatch]:
    timeline, watch = Timeline(), ClockWatch(pieces=pieces)
    timeline.begin(time_base=Fraction(1, TICKS), frame_seconds=0.04, watch=watch)
    places = [timeline.place(pts, now=at) for pts, at in sent]
    kept = [place for place in places if place is not None]
    assert len(kept) == len(sent)
    assert all(later > earlier for earlier, later in pairwise(kept))
    return kept, watch


def off(places: list[int], sent: Pictures) -> float:
    """By how many seconds the recording's length differs from the time that passed."""
    return abs((places[-1] - places[0]) / TICKS - (sent[-1][1] - sent[0][1]))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mode", WRONG)
def test_a_wrong_clock_is_noticed_and_the_recording_is_as_long_as_it_took(
    mode: str, rate: float, rng: random.Random
) -> None:
    for seconds in (24.0, 60.0 if rate >= 5 else 300.0):
        sent = pictures(WRONG[mode], steady(rate, seconds, rng), rate=rate)
        places, watch = placed(sent)
        # A frame may be on its way for 10 ms.
        assert off(places, sent) <= max(0.02 * seconds, 1 / rate) + 0.01
        # What is wrong by less than that is not noticed yet.
        if off([pts or 0 for pts, _ in sent], sent) > max(0.025 * seconds, 2.5 / rate):
            assert watch.reason is not None


def clocks(rng: random.Random, rate: float, count: int) -> dict[str, Clock]:
    """Every way in which a clock may go, the honest ones included."""
    times, size = rng.randrange(2, 5), rng.choice(STRAY) * rng.choice((1, -1))
    stray = set(range(rng.randrange(2, 8), count - 1, rng.randrange(5, 20)))
    return {
        **WRONG,
        **HONEST,
        "the same stamp several times": lambda t, n: n // times * times / rate,
        f"a stamp astray by {size:g} s now and then": lambda t, n: t + size * (n in stray),
    }


@pytest.mark.parametrize("rate", [*RATES[:7], None])
def test_whatever_a_clock_says_from_one_connection_to_the_next_the_recording_is_as_long_as_it_took(
    rate: float | None, rng: random.Random
) -> None:
    rate = rng.uniform(0.2, 5.0) if rate is None else rate
    length = max(24.0, 5 / rate) * rng.uniform(1.0, 4.0)
    count = round(length * rate)
    for mode, clock in clocks(rng, rate, count).items():
        timeline, came, places, later = Timeline(), list[float](), list[int](), 0.0
        for _ in range(rng.randrange(1, 5)):
            timeline.begin(time_base=Fraction(1, TICKS), frame_seconds=1 / rate, watch=ClockWatch())
            begun_anew = rng.randrange(10**9)
            for pts, at in pictures(clock, steady(rate, length, rng), rate=rate):
                place = timeline.place(None if pts is None else pts + begun_anew, now=at + later)
                assert place is not None
                came.append(at + later)
                places.append(place)
            later = came[-1] - 1000 + rng.uniform(0.5, 8.0)
        assert all(after > before for before, after in pairwise(places))
        seconds = came[-1] - came[0]
        wrong = abs((places[-1] - places[0]) / TICKS - seconds)
        # One frame of the recording, which is longer by a clock that is too little too fast to be noticed so soon.
        frame = (1.2 if mode == "x1.2" else 1) / rate
        assert wrong <= max(0.02 * seconds, frame) + 0.02, mode


@pytest.mark.parametrize("mode", [mode for mode in WRONG if "after" not in mode and mode not in SLIGHTLY])
def test_a_clock_that_is_very_wrong_is_noticed_in_seconds(mode: str, rng: random.Random) -> None:
    sent = pictures(WRONG[mode], steady(10.0, 20.0, rng), rate=10.0)
    timeline, watch = Timeline(), ClockWatch()
    timeline.begin(time_base=Fraction(1, TICKS), frame_seconds=0.1, watch=watch)
    for pts, at in sent:
        timeline.place(pts, now=at)
        if watch.reason is not None:
            break
    assert at - sent[0][1] < 7.0


@pytest.mark.parametrize("rate", [0.2, 1.0, 5.0, 25.0])
@pytest.mark.parametrize("size", STRAY)
def test_single_stray_stamps_add_nothing(size: float, rate: float, rng: random.Random) -> None:
    for sign in (1, -1):
        count = round(max(60.0, 40 / rate) * rate)
        stray = set(range(rng.randrange(3, 10), count - 2, 17))
        sent = pictures(
            lambda t, n, stray=stray, sign=sign: t + sign * size * (n in stray),  # type: ignore[misc]
            steady(rate, count / rate, rng, jitter=0.005),
            rate=rate,
        )
        places, watch = placed(sent)
        assert watch.reason is None
        first = sent[0][0]
        assert first is not None
        for number, place in enumerate(places):
            own = first + round(number / rate * TICKS)
            # A stray stamp's own picture lies where it arrived, all others where their own stamps say.
            assert abs(place - own) <= (TICKS / rate if number in stray else 1)


def test_stamps_that_come_several_times_are_all_kept(rng: random.Random) -> None:
    for times in (2, 3, 25):
        sent = pictures(lambda t, n, times=times: n // times * times / 25, steady(25.0, 30.0, rng), rate=25.0)  # type: ignore[misc]
        places, watch = placed(sent)
        assert watch.reason is None
        assert off(places, sent) <= times / 25 + 0.05


def bursts(rate: float, every: float, rng: random.Random) -> list[float]:
    phase = rng.random() * every
    return [
        math.ceil((number / rate + phase) / every) * every + number % 100 * 2e-4
        for number in range(round(max(60.0, 40 / rate) * rate))
    ]


@pytest.mark.parametrize("rate", [5.0, 10.0, 25.0])
@pytest.mark.parametrize("size", [0.3, 0.9, 1.0, 1.1, 1.5])
def test_stray_stamps_in_bursts_add_nothing_and_the_clock_is_still_believed(
    size: float, rate: float, rng: random.Random
) -> None:
    """In a burst a stamp that lies ahead may be honest; that it was not is known once the next one has come."""
    for every in (0.3, 1.0, 2.0, 2.4):
        arrivals = bursts(rate, every, rng)
        stray = set(range(rng.randrange(3, 10), len(arrivals) - round(4 * rate), 17))
        sent = pictures(lambda t, n, stray=stray: t + size * (n in stray), arrivals, rate=rate)  # type: ignore[misc]
        places, watch = placed(sent)
        assert watch.reason is None, every
        first = sent[0][0]
        assert first is not None
        late = range(round(size * rate) + 2)
        for number, place in enumerate(places):
            own = first + round(number / rate * TICKS)
            # What was placed by a stray stamp cannot be taken back, and pictures have to rise until they are past it.
            behind = any(number - back in stray for back in late)
            early = TICKS / rate if number in stray else 1  # it lies anywhere between its neighbours
            assert -early <= place - own <= (size * TICKS + 100 if behind else 1), (every, number)


def in_order(times: Iterator[float], gap: float = 5e-4) -> list[float]:
    at, came = 0.0, []
    for time in times:
        at = max(at + gap, time)
        came.append(at)
    return came


def networks(rate: float, rng: random.Random) -> Iterator[tuple[str, list[float], bool]]:
    """Ways in which the pictures of an honest camera arrive."""
    numbers = range(round(max(60.0, 40 / rate) * rate))
    yield "steady", steady(rate, len(numbers) / rate, rng), False
    for every in (0.3, 1.0, 2.0, 2.4):
        yield f"bursts of {every} s", bursts(rate, every, rng), False
    for jitter in (0.02, 0.05):
        yield f"jitter {jitter}", in_order(n / rate + rng.random() * jitter for n in numbers), False
    for length in (3.0, 8.0):
        late = (20 + length if 20 <= n / rate < 20 + length else n / rate for n in numbers)
        yield f"{length} s without network", in_order(late), False
    for stored in (1.0, 4.0):
        yield f"{stored} s stored", in_order(n / rate - stored for n in numbers), False
    for speed in (1000.0, 4.0):
        pieces = ((n / rate // 2 - 2) * 2.0 for n in numbers)
        yield f"HLS at {speed}", in_order(pieces, 1 / rate / speed), True


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mode", HONEST)
def test_an_honest_clock_is_believed_to_the_tick_however_its_pictures_arrive(
    mode: str, rate: float, rng: random.Random
) -> None:
    for network, arrivals, pieces in networks(rate, rng):
        sent = pictures(HONEST[mode], arrivals, rate=rate)
        if rate < 5 and mode != "in step" and network == "bursts of 2.4 s":
            continue  # that late and that far off at once, it cannot be told from a clock that is wrong
        places, watch = placed(sent, pieces=pieces)
        assert watch.reason is None, network
        # Of pictures 5 s apart, one that comes 1 s after the first may as well be one of a clock five times too fast.
        doubted = {1} if rate == 0.2 and network == "4.0 s stored" else set()
        sure = [number for number in range(len(sent)) if number not in doubted]
        assert [places[number] for number in sure] == [sent[number][0] for number in sure], network


def in_pieces(length: float, seconds: float, rate: float, late: Callable[[float], float]) -> list[float]:
    """Arrivals of pictures in pieces of ``length`` seconds, each so many seconds ``late`` in which it is whole."""
    whole = ((n / rate // length + 1) * length for n in range(round(seconds * rate)))
    return in_order((at + late(at) for at in whole), 5e-4)


@pytest.mark.parametrize("length", [1.0, 2.0, 4.0, 6.0, 10.0])
@pytest.mark.parametrize("mode", HONEST)
def test_pieces_that_come_later_since_the_network_hesitated_do_not_speak_against_the_clock(
    mode: str, length: float, rng: random.Random
) -> None:
    """Who asks for the next piece once the last is over never makes up for what was lost."""
    since = rng.uniform(5.0, 200.0)
    before, after = rng.uniform(0.0, 0.99), rng.uniform(0.0, 0.99)

    def late(at: float) -> float:
        return length * (before if at < since else after) + 9.0 * (since <= at < since + length)

    sent = pictures(HONEST[mode], in_pieces(length, 500.0, 5.0, late), rate=5.0)
    places, watch = placed(sent, pieces=True)
    assert watch.reason is None
    assert places == [pts for pts, _ in sent]


@pytest.mark.parametrize("length", [1.0, 2.0, 4.0, 6.0])
@pytest.mark.parametrize("mode", ["x0.5", "x0.9", "x1.1", "x1.2", "x2", "x10", "stands still", "no stamps"])
def test_a_wrong_clock_is_noticed_in_pieces_too(mode: str, length: float, rng: random.Random) -> None:
    late = rng.uniform(0.0, 0.9) * length
    sent = pictures(WRONG[mode], in_pieces(length, 600.0, 5.0, lambda _: late), rate=5.0)
    places, watch = placed(sent, pieces=True)
    assert watch.reason is not None
    assert off(places, sent) <= 0.02 * 600.0 + length


def doorbell(rng: random.Random, seconds: float) -> list[float]:
    """When a camera takes pictures that films at 25 a second while something moves, and else at ``idle``."""
    idle, every, lasts = rng.choice((1.0, 2.0, 5.0)), rng.uniform(15, 60), rng.uniform(3, 12)
    begins, taken = rng.uniform(0, every), [0.0]
    while taken[-1] < seconds:
        taken.append(taken[-1] + 1 / (25.0 if (taken[-1] + begins) % every < lasts else idle))
    return taken


def unsteady(rng: random.Random, seconds: float) -> list[float]:
    """When a camera takes pictures that has another rate each time."""
    taken = [0.0]
    while taken[-1] < seconds:
        taken.append(taken[-1] + 1 / rng.choice((2, 5, 10, 15, 30)))
    return taken


@pytest.mark.parametrize("every", [0.0, 0.5, 1.0, 2.0, 2.4])
@pytest.mark.parametrize("camera", [doorbell, unsteady])
def test_a_camera_whose_rate_varies_is_believed_to_the_tick_also_in_bursts(
    camera: Callable[[random.Random, float], list[float]], every: float, rng: random.Random
) -> None:
    for _ in range(4):
        taken, phase = camera(rng, 120.0), rng.uniform(0, 5)
        arrivals = in_order(
            math.ceil((at + phase) / every) * every if every else at + rng.random() * 0.03 for at in taken
        )
        sent: Pictures = [
            (round((50_000 + at) * TICKS), came) for at, came in zip(taken, arrivals, strict=True)
        ]
        places, watch = placed(sent)
        assert watch.reason is None
        assert places == [pts for pts, _ in sent]


@pytest.mark.parametrize("rate", [5.0, 25.0])
@pytest.mark.parametrize("every", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("pace", [1.04, 1.1, 1.2, 1.5, 2.0, 3.6, 10.0])
def test_bursts_do_not_hide_a_clock_that_is_too_fast(
    pace: float, every: float, rate: float, rng: random.Random
) -> None:
    """Each burst alone may be what a network had held up."""
    arrivals = [1000 + at for at in bursts(rate, every, rng)]
    sent = pictures(lambda t, _: t * pace, arrivals, rate=rate)
    places, watch = placed(sent)
    assert watch.reason is not None
    # Pictures of the last burst may be as old as the time between two, and what was ahead falls back.
    assert off(places, sent) <= 0.02 * (arrivals[-1] - arrivals[0]) + every + 0.1


def test_what_waited_for_us_does_not_speak_against_the_camera() -> None:
    watch = ClockWatch()
    for number in range(250):
        assert watch.see(number / 25, number / 25) != "doubted"
    for number in range(250, 1000):  # a decoder at half the camera's pace
        assert watch.see(number / 25, 10 + (number - 250) * 2 / 25, on_time=False) == "believed"
    assert watch.reason is None


def test_a_source_without_stamps_goes_by_arrival_from_its_first_picture() -> None:
    timeline = Timeline()
    timeline.begin(time_base=Fraction(1, TICKS), frame_seconds=0.04, watch=ClockWatch(stamped=False))
    arrivals = [5.0, 5.2, 5.31, 6.0]
    places = [timeline.place(number, now=at) for number, at in enumerate(arrivals)]
    assert places == [round((at - 5.0) * TICKS) for at in arrivals]


def test_after_reconnects_the_recording_is_as_long_as_it_took(rng: random.Random) -> None:
    timeline, now = Timeline(), 0.0
    places: list[int] = []
    for _ in range(20):
        timeline.begin(time_base=Fraction(1, TICKS), frame_seconds=0.04, watch=ClockWatch())
        start, began = rng.randrange(10**9), now
        for number in range(100):
            now = began + number / 25
            place = timeline.place(start + number * 3600, now=now)
            assert place is not None
            places.append(place)
        now += rng.uniform(0.5, 30.0)
    assert places[-1] - places[0] == pytest.approx((began + 99 / 25) * TICKS, abs=20)
