"""A new engine on probation, on a clock moved by hand: what comes out, and who stays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.engines.backends.base import Translation
from nightday.pipeline.serving import probation
from nightday.pipeline.serving.probation import Probation
from nightday.pipeline.translation import batch_times
from nightday.pipeline.translation.batch_times import BatchSize, BatchTimes, size_of
from tests.support.engines import EngineStub
from tests.support.media_helpers import FakeClock

Pixels = NDArray[np.uint8]
OLD, NEW = 1, 2  # what each engine paints


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Engine(EngineStub):
    """Paints ``colour``, in the seconds that ``cost`` gives for a batch; may raise or give something odd."""

    def __init__(
        self, colour: int, clock: FakeClock, cost: float | Callable[[BatchSize], float] = 0.01
    ) -> None:
        self.colour, self._clock, self._cost = colour, clock, cost
        self.calls = 0
        self.fails: Callable[[Pixels], bool] = lambda _: False
        self.odd = False
        self.sizes: set[tuple[int, int]] | None = None

    def prepared(self, height: int, width: int) -> bool:
        return self.sizes is None or (height, width) in self.sizes

    def prepare(self, height: int, width: int) -> None:
        if self.sizes is not None:
            self.sizes.add((height, width))

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        assert self.prepared(*frames.shape[1:3])
        self.calls += 1
        count, height, width = frames.shape[:3]
        self._clock.now += self._cost((count, height, width)) if callable(self._cost) else self._cost
        if self.fails(frames):
            raise RuntimeError("cannot")
        return np.full_like(frames[..., :2] if self.odd else frames, self.colour)


def batch(count: int = 1, size: tuple[int, int] = (16, 16), value: int = 0) -> Pixels:
    return np.full((count, *size, 3), value, np.uint8)


def run_timed(times: BatchTimes, engine: Engine, frames: Pixels, clock: FakeClock) -> None:
    began = clock.monotonic()
    engine(frames)
    times.add(engine, size_of(frames), clock.monotonic() - began)


def on_probation(
    new: Engine, old: Engine, clock: FakeClock, *, seen: tuple[Pixels, ...] = (batch(),)
) -> Probation:
    """``new`` after ``old`` has run batches such as ``seen`` for a while."""
    times = BatchTimes()
    for frames in seen * batch_times.RECENT:
        run_timed(times, old, frames, clock)
    old.calls = 0
    return Probation(new, before=old, usual=times.usual(old), clock=clock)


def run_on(trial: Probation, *frames: Pixels, most: int = 400) -> list[int]:
    """What colour each batch came out in, until there is a verdict or ``most`` have come."""
    frames = frames or (batch(),)
    colours: list[int] = []
    while trial.result is None and len(colours) < most:
        given = frames[len(colours) % len(frames)]
        result = trial(given)
        assert result.shape == given.shape
        colours.append(int(result.flat[0]))
    return colours


def test_an_engine_as_good_as_the_one_before_stays_after_its_time_and_costs_no_batch_of_that(
    clock: FakeClock,
) -> None:
    new, old = Engine(NEW, clock, 0.2), Engine(OLD, clock, 0.2)
    told: list[bool] = []
    trial = on_probation(new, old, clock)
    trial._on_end = lambda: told.append(True)
    colours = run_on(trial)
    assert colours == [NEW] * probation.PROBATION_BATCHES  # 40 s
    assert (old.calls, told) == (0, [True])
    assert trial.result is not None
    assert trial.result.kept
    assert trial.serving is new
    assert "200.0 ms for 1 of 16x16 (before 200.0 ms)" in trial.result.figures
    assert trial(batch()).flat[0] == NEW


def test_many_batches_in_a_short_time_prove_nothing(clock: FakeClock) -> None:
    new = Engine(NEW, clock, 1 / 16)
    colours = run_on(on_probation(new, Engine(OLD, clock, 1 / 16), clock), most=2000)
    assert len(colours) == probation.PROBATION_SECONDS * 16


def test_time_without_batches_proves_nothing(clock: FakeClock) -> None:
    trial = on_probation(Engine(NEW, clock), Engine(OLD, clock), clock)
    clock.now += 12 * 3600  # a day, with nothing to translate
    run_on(trial, most=probation.PROBATION_BATCHES - 1)
    assert trial.result is None


@pytest.mark.parametrize("odd", [False, True])
def test_what_a_new_engine_fails_on_comes_from_the_one_before_which_then_serves_again(
    clock: FakeClock, odd: bool, rng: np.random.Generator
) -> None:
    new, old = Engine(NEW, clock), Engine(OLD, clock)
    bad = set(rng.choice(100, probation.MOST_FAILURES, replace=False).tolist())
    new.odd = odd
    new.fails = lambda _: not odd and new.calls - 1 in bad
    if odd:
        bad = set(range(probation.MOST_FAILURES))
    trial = on_probation(new, old, clock)
    colours = run_on(trial)
    assert colours == [OLD if index in bad else NEW for index in range(max(bad) + 1)]
    assert trial.result is not None
    assert not trial.result.kept
    assert trial.serving is old
    reason = "ValueError: the engine made uint8" if odd else "RuntimeError: cannot"
    assert f"it failed on batches that the one before translates ({reason}" in trial.result.reason
    calls = new.calls
    assert trial(batch()).flat[0] == OLD
    assert new.calls == calls


def test_frames_that_both_fail_on_are_not_held_against_the_new_one(clock: FakeClock) -> None:
    new, old = Engine(NEW, clock), Engine(OLD, clock)
    new.fails = old.fails = lambda frames: frames.flat[0] == 66
    trial = on_probation(new, old, clock)
    for _ in range(5 * probation.MOST_FAILURES):
        with pytest.raises(RuntimeError, match="cannot"):
            trial(batch(value=66))
    assert trial.result is None
    assert trial(batch()).flat[0] == NEW


def test_the_one_before_is_not_compiled_for_a_new_size_in_mid_stream(clock: FakeClock) -> None:
    new, old = Engine(NEW, clock), Engine(OLD, clock)
    trial = on_probation(new, old, clock)
    new.sizes, old.sizes = {(16, 16)}, {(16, 16)}
    assert not trial.prepared(32, 32)
    new.sizes.add((32, 32))
    new.fails = lambda _: True
    with pytest.raises(RuntimeError, match="cannot"):
        trial(batch(size=(32, 32)))
    assert old.calls == 0
    trial.prepare(32, 32)  # as the warm-up does
    assert trial(batch(size=(32, 32))).flat[0] == OLD


def test_a_slow_engine_is_out_and_no_batch_is_lost_over_it(
    clock: FakeClock, rng: np.random.Generator
) -> None:
    def about(seconds: float) -> Callable[[BatchSize], float]:
        return lambda _: seconds * rng.uniform(0.8, 1.2)

    new, old = Engine(NEW, clock, about(0.08)), Engine(OLD, clock, about(0.04))
    trial = on_probation(new, old, clock)
    colours = run_on(trial)
    assert colours == [NEW] * (batch_times.FEWEST + probation.PAIRS)
    assert old.calls == probation.PAIRS
    assert trial.result is not None
    assert not trial.result.kept
    assert "slower than the one before by " in trial.result.reason
    assert trial(batch()).flat[0] == OLD


def test_a_slow_engine_stays_where_that_was_asked_for(clock: FakeClock) -> None:
    new, old = Engine(NEW, clock, 0.16), Engine(OLD, clock, 0.04)
    trial = Probation(new, before=old, usual={size_of(batch()): 0.04}, clock=clock, may_be_slower=True)
    assert set(run_on(trial)) == {NEW}
    assert trial.result is not None
    assert trial.result.kept
    assert old.calls == 0


def test_a_machine_that_is_busier_now_is_not_held_against_the_new_engine(clock: FakeClock) -> None:
    load = [1.0]

    def cost(_: BatchSize) -> float:
        return 0.02 * load[0]

    new, old = Engine(NEW, clock, cost), Engine(OLD, clock, cost)
    trial = on_probation(new, old, clock)
    load[0] = 5.0
    colours = run_on(trial)
    assert set(colours) == {NEW}
    assert trial.result is not None
    assert trial.result.kept
    assert old.calls == probation.PAIRS  # then its time was known anew


@pytest.mark.parametrize(("cost", "kept"), [(0.04, True), (0.09, False)])
def test_where_nothing_is_known_of_the_one_before_it_is_measured(
    clock: FakeClock, cost: float, kept: bool
) -> None:
    new, old = Engine(NEW, clock, cost), Engine(OLD, clock, 0.04)
    trial = Probation(new, before=old, usual={}, clock=clock)
    run_on(trial, most=2000)
    assert trial.result is not None
    assert trial.result.kept is kept


def test_half_a_millisecond_more_is_no_reason(clock: FakeClock) -> None:
    trial = on_probation(Engine(NEW, clock, 0.001), Engine(OLD, clock, 0.0005), clock)
    colours = run_on(trial, most=50_000)
    assert set(colours) == {NEW}
    assert trial.result is not None
    assert trial.result.kept


def test_a_slow_first_batch_is_no_reason(clock: FakeClock) -> None:
    new = Engine(NEW, clock, lambda _: 1.5 if new.calls == 1 else 0.04)
    old = Engine(OLD, clock, 0.04)
    trial = on_probation(new, old, clock)
    run_on(trial, most=2000)
    assert trial.result is not None
    assert trial.result.kept
    assert old.calls == 0


def test_one_size_of_batch_alone_may_be_what_is_slow(clock: FakeClock) -> None:
    one, four = batch(1), batch(4)
    new = Engine(NEW, clock, lambda shape: 1.0 if shape[0] == 4 else 0.01)
    old = Engine(OLD, clock, lambda shape: 0.01 * shape[0])
    trial = on_probation(new, old, clock, seen=(one, four))
    colours = run_on(trial, one, four)
    assert trial.result is not None
    assert not trial.result.kept
    assert len(colours) <= 2 * 2 * 3  # three and three pairs of a second each say enough


def test_the_usual_time_is_the_median_of_the_last_ones(clock: FakeClock, rng: np.random.Generator) -> None:
    costs: dict[BatchSize, list[float]] = {}

    def cost(shape: BatchSize) -> float:
        costs.setdefault(shape, []).append(float(rng.uniform(0.001, 1)))
        return costs[shape][-1]

    engine, times = Engine(OLD, clock, cost), BatchTimes()
    for _ in range(200):
        size = (16 * int(rng.integers(1, 3)), 16)
        run_timed(times, engine, batch(int(rng.integers(1, 4)), size), clock)
    run_timed(times, engine, batch(9), clock)  # one tells nothing
    del costs[(9, 16, 16)]
    usual = times.usual(engine)
    assert usual.keys() == costs.keys()
    for shape, known in costs.items():
        assert usual[shape] == pytest.approx(np.median(known[-batch_times.RECENT :]))


def test_times_hold_no_engine_and_no_end_of_sizes(clock: FakeClock) -> None:
    engine, times = Engine(OLD, clock), BatchTimes()
    for count in range(1, 2 * batch_times.SIZES):
        for _ in range(batch_times.FEWEST):
            run_timed(times, engine, batch(count), clock)
    assert len(times.usual(engine)) == batch_times.SIZES
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None
    assert times.usual(Engine(OLD, clock)) == {}


def test_backgrounds_reach_whoever_translates(clock: FakeClock) -> None:
    """The new engine, the one that steps in for it, and the one that won; and what they say of their pictures."""

    class Given(Engine):
        needs_backgrounds = True

        def translate(self, frames: Any, day_background: Any = None, night_background: Any = None) -> Any:
            day = self(frames)
            assert day_background is by_day
            assert night_background is by_night
            return Translation(day, day // 2)

    by_day, by_night = [batch()[0]], [batch(value=3)[0]]
    new, old = Given(NEW, clock), Given(OLD, clock)
    trial = on_probation(new, old, clock)
    assert trial.needs_backgrounds
    made = trial.translate(batch(), by_day, by_night)
    assert (made.day.max(), made.trust is not None) == (NEW, True)
    new.fails = lambda _: True
    for _ in range(probation.MOST_FAILURES):
        assert trial(batch(), by_day, by_night).max() == OLD
    assert trial.result is not None
    assert not trial.result.kept
    assert trial.translate(batch(), by_day, by_night).day.max() == OLD


def test_one_before_that_takes_no_backgrounds_still_takes_the_place_of_one_that_does(
    clock: FakeClock,
) -> None:
    """As when the camera's own model gives way to the general one."""

    class Needing(Engine):
        needs_backgrounds = True

    class Refusing(Engine):
        def translate(self, frames: Any, day_background: Any = None, night_background: Any = None) -> Any:
            assert day_background is None
            assert night_background is None
            return super().translate(frames)

    new, old = Needing(NEW, clock), Refusing(OLD, clock)
    new.fails = lambda _: True
    trial = on_probation(new, old, clock)
    given = batch(value=9)
    while trial.result is None:
        clock.now += 1
        assert (trial(batch(), day_background=given, night_background=given) == OLD).all()
    assert not trial.result.kept
    assert "cannot" in trial.result.reason
    assert (trial(batch()) == OLD).all()
