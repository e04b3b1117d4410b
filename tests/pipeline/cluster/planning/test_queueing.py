"""The simulated machine against a walk in small steps, and against what is known of queues."""

from __future__ import annotations

import numpy as np
import pytest

from nightday.pipeline.cluster.planning.queueing import Machine, Thread, Wait

STEP = 1e-4


def in_small_steps(begins: list[float], works: list[float], processors: float) -> list[float]:
    """When threads end that share processors evenly, found by moving time in small steps."""
    left, ends, now = [*works], [0.0] * len(works), 0.0
    while any(rest > 0 for rest in left):
        running = [i for i, rest in enumerate(left) if rest > 0 and begins[i] <= now]
        for i in running:
            left[i] -= STEP * min(1.0, processors / len(running))
            ends[i] = now + STEP
        now += STEP
    return ends


def ends_of(begins: list[float], works: list[float], processors: float) -> list[float]:
    machine = Machine(processors)
    ends = [0.0] * len(works)

    def thread(number: int) -> Thread:
        yield Wait("until", begins[number])
        yield Wait("compute", works[number])
        ends[number] = machine.now

    for number in range(len(works)):
        machine.wake(thread(number))
    machine.run(100.0)
    return ends


def test_processors_are_shared_as_a_walk_in_small_steps_says(rng: np.random.Generator) -> None:
    for _ in range(8):
        count = int(rng.integers(1, 12))
        begins, works = rng.uniform(0, 0.5, count).tolist(), rng.uniform(0.01, 0.3, count).tolist()
        processors = float(rng.integers(1, 5))
        wanted = in_small_steps(begins, works, processors)
        assert ends_of(begins, works, processors) == pytest.approx(wanted, abs=count * 5 * STEP)


def test_what_computes_on_several_processors_leaves_the_others_less() -> None:
    machine, ends = Machine(4), []

    def thread(width: float) -> Thread:
        yield Wait("compute", 1.0, width)
        ends.append(machine.now)

    machine.wake(thread(4))
    machine.wake(thread(4))
    machine.run(10)
    assert ends == pytest.approx([2.0, 2.0])
    assert machine.used == pytest.approx(8.0)


def test_the_lock_is_had_by_one_at_a_time_first_come_first_served(rng: np.random.Generator) -> None:
    machine, ends = Machine(16), {}
    works = rng.uniform(0.1, 0.3, 5).tolist()

    def thread(number: int) -> Thread:
        yield Wait("until", 0.01 * number)
        yield Wait("locked", works[number])
        ends[number] = machine.now
        yield Wait("compute", 0.5)

    for number in range(5):
        machine.wake(thread(number))
    machine.run(10)
    assert [ends[number] for number in range(5)] == pytest.approx(np.cumsum(works).tolist())


def test_a_thread_that_rests_goes_on_when_it_is_woken() -> None:
    machine, woken = Machine(1), []

    def sleeper() -> Thread:
        yield Wait("rest")
        woken.append(machine.now)

    def waker(other: Thread) -> Thread:
        yield Wait("sleep", 0.25)
        machine.wake(other)

    one = sleeper()
    machine.wake(one)
    machine.wake(waker(one))
    machine.run(1)
    assert woken == pytest.approx([0.25])
    assert machine.used == 0
