"""How processor time is divided among cameras."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nightday.pipeline.cluster.costs import MOST_WANTED, WINDOW, Costs
from nightday.pipeline.core.counters import CameraStats, StatsSnapshot
from nightday.pipeline.core.status import CameraStatus


def camera(name: str, **counts: object) -> CameraStatus:
    stats: StatsSnapshot = replace(CameraStats().snapshot(), **counts)  # type: ignore[arg-type]
    return CameraStatus(
        name=name, state="playing", reason=None, night=None, outputs_in_trouble=(), stats=stats
    )


class Machine:
    def __init__(self) -> None:
        self.now, self.used = 0.0, 0.0
        self.costs = Costs(lambda: self.used, lambda: self.now)


def test_the_sum_is_what_the_process_took_and_the_engines_share_goes_where_it_ran() -> None:
    machine = Machine()
    machine.costs.measure([camera("night"), camera("day")], {})
    machine.now, machine.used = WINDOW, 8.0
    costs = machine.costs.measure(
        [camera("night", translated=100), camera("day", passed=100)], {"night": 0.04}
    )
    # 100 frames of 40 ms are 4 s of 8; the other 4 are divided by frames.
    assert costs == pytest.approx({"night": 0.6, "day": 0.2})
    assert sum(costs.values()) * WINDOW == pytest.approx(8.0)


def test_calls_that_waited_for_a_core_count_for_no_more_than_was_used() -> None:
    machine = Machine()
    machine.costs.measure([camera("a"), camera("b")], {})
    machine.now, machine.used = WINDOW, 5.0
    costs = machine.costs.measure(
        [camera("a", translated=100), camera("b", translated=300)], {"a": 0.1, "b": 0.1}
    )
    assert costs == pytest.approx({"a": 0.125, "b": 0.375})


def test_a_camera_that_loses_frames_wants_more_than_it_gets() -> None:
    machine = Machine()
    machine.costs.measure([camera("a"), camera("b")], {})
    machine.now, machine.used = WINDOW, 4.0
    lost = {"overload": 50, "stale": 50, "output_slow": 900}
    costs = machine.costs.measure([camera("a", passed=100, dropped=lost), camera("b", passed=100)], {})
    assert costs == pytest.approx({"a": 0.4, "b": 0.2})
    machine.now, machine.used = 2 * WINDOW, 8.0
    lost = {"overload": 100_050, "stale": 50}
    costs = machine.costs.measure([camera("a", passed=200, dropped=lost), camera("b", passed=200)], {})
    assert costs["a"] == pytest.approx(0.2 * MOST_WANTED)


def test_nothing_new_is_told_within_a_window_or_of_a_camera_that_was_begun_anew() -> None:
    machine = Machine()
    assert machine.costs.measure([camera("a", passed=50), camera("b")], {}) == {}
    machine.now, machine.used = WINDOW, 1.0
    first = machine.costs.measure([camera("a", passed=10), camera("b", passed=100)], {})
    assert first == pytest.approx({"b": 0.1})
    machine.now, machine.used = 1.5 * WINDOW, 9.0
    assert machine.costs.measure([camera("a", passed=500), camera("b", passed=500)], {}) == first
