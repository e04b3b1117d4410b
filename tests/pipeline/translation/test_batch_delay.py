"""The batch window against the sum of latencies worked out by playing both ways through."""

from __future__ import annotations

import random

import pytest

from nightday.pipeline.translation.batch_delay import SLACK, BatchDelay


def learned(cost: dict[int, float], last: dict[str, float], interval: float) -> BatchDelay:
    window = BatchDelay()
    for size, seconds in cost.items():
        window.ran(size, seconds)
    for camera, at in last.items():
        for tick in (2, 1, 0):
            window.came(camera, at - tick * interval)
    return window


def test_waits_exactly_when_that_lowers_the_sum_of_latencies() -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    rng = random.Random(seed)
    waited = 0
    for _ in range(2000):
        size = rng.randint(1, 6)
        fixed, each = rng.uniform(0, 0.02), rng.uniform(0.0001, 0.01)
        cost = {n: fixed + n * each for n in range(1, 9)}
        ahead = rng.uniform(0.0005, 0.03)
        window = learned(cost, {"late": 100 + ahead - 0.04}, 0.04)
        # At once: the b end after T(b), the one after them; or together, once it is there. From now on.
        at_once = size * cost[size] + (cost[size] + cost[1] if cost[size] >= ahead else ahead + cost[1])
        together = (size + 1) * (ahead + cost[size + 1])
        until = window.until(100.0, waiting=size, others=["late"])
        if abs(at_once - together) < 1e-9 or cost[size] < ahead:
            continue  # the engine would be idle again before it comes
        assert (until > 100.0) == (together < at_once), (size, cost[size], ahead)
        if until > 100.0:
            waited += 1
            assert until == pytest.approx(100 + ahead + SLACK)
    assert waited > 5


def test_never_waits_where_a_batch_costs_by_the_frame() -> None:
    window = learned({n: 0.03 * n for n in range(1, 9)}, {"late": 99.99 - 0.02}, 0.04)
    assert window.until(99.99, waiting=1, others=["late"]) == 99.99


def test_never_waits_for_a_camera_that_is_overdue_gone_or_unknown() -> None:
    window = learned(dict.fromkeys(range(1, 9), 0.03), {"down": 99.0, "gone": 99.961}, 0.04)
    window.forget("gone")
    assert window.until(100.0, waiting=1, others=["down", "gone", "new"]) == 100.0


def test_never_waits_for_a_size_it_knows_nothing_of() -> None:
    window = learned({1: 0.03, 2: 0.03}, {"late": 99.965}, 0.04)
    assert window.until(100.0, waiting=1, others=["late"]) > 100.0
    assert window.until(100.0, waiting=2, others=["late"]) == 100.0
