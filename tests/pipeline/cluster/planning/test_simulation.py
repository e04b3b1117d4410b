"""The program's queues, simulated: against what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nightday.pipeline.cluster.planning.simulation import Demand, Locks, Outcome, simulate

FREE = Locks(0.0, 0.0, 0.0)


def camera(name: str = "gate", **changes: object) -> Demand:
    plain = Demand(name, 10.0, decode=0.001, work=0.01, translated=True, outputs=(0.002,), memory=0)
    return replace(plain, **changes)  # type: ignore[arg-type]


def run(*demands: Demand, processors: float = 1, workers: int = 1, **more: object) -> Outcome:
    options: dict[str, object] = {"max_batch": 1, "locks": FREE, **more}
    return simulate(demands, processors=processors, workers=workers, **options)  # type: ignore[arg-type]


def test_a_lone_camera_has_the_latency_of_its_work() -> None:
    outcome = run(camera())
    assert outcome.p95 == pytest.approx([0.012])
    assert outcome.dropped == (0.0,)
    assert outcome.cores == pytest.approx(10 * 0.013, rel=0.02)


def test_without_outputs_latency_ends_with_the_work() -> None:
    assert run(camera(outputs=())).p95 == pytest.approx([0.01])


def test_under_overload_as_many_frames_are_dropped_as_the_worker_cannot_take(
    rng: np.random.Generator,
) -> None:
    for _ in range(3):
        fps, work = float(rng.uniform(20, 40)), float(rng.uniform(0.08, 0.2))
        outcome = run(camera(fps=fps, work=work, decode=0.0, outputs=()), processors=2)
        assert outcome.dropped[0] == pytest.approx(1 - 1 / (work * fps), abs=0.03)
        # A frame waits for less than a frame's time, as newer ones take its place, and is then worked on.
        assert work <= outcome.p95[0] <= work + 1.1 / fps


def test_under_overload_all_cameras_slow_down_alike(rng: np.random.Generator) -> None:
    rates = rng.uniform(10, 30, 6).tolist()
    cameras = [camera(f"{n}", fps=rate, work=0.05, decode=0.0, outputs=()) for n, rate in enumerate(rates)]
    outcome = run(*cameras)
    shown = [rate * (1 - dropped) for rate, dropped in zip(rates, outcome.dropped, strict=True)]
    assert shown == pytest.approx([20 / 6] * 6, rel=0.1)


def test_a_slow_output_fills_its_queue_and_loses_pictures() -> None:
    outcome = run(camera(outputs=(0.2,), work=0.001), processors=4)
    assert outcome.dropped[0] == pytest.approx(1 - 5 / 10, abs=0.05)
    # Four wait before each, which is then written.
    assert outcome.p95[0] == pytest.approx(5 * 0.2, rel=0.1)


def test_batches_serve_more_cameras_than_single_frames() -> None:
    batches = {1: (0.03, 0.002), 2: (0.03, 0.002), 4: (0.03, 0.003), 8: (0.032, 0.004)}
    cameras = [camera(f"{n}", fps=20, batches=batches, decode=0.0001) for n in range(8)]
    together = run(*cameras, processors=4, max_batch=8, on_gpu=True)
    alone = run(*cameras, processors=4, max_batch=1, on_gpu=True)
    assert together.within(0.25)
    assert not alone.within(0.25)
    assert sum(alone.dropped) / 8 == pytest.approx(1 - 1 / 0.03 / 160, abs=0.05)


def test_frames_that_waited_for_too_long_are_dropped() -> None:
    cameras = [camera(f"{n}", fps=2, work=0.3, max_age=0.2, outputs=()) for n in range(4)]
    outcome = run(*cameras, processors=4)
    assert min(outcome.dropped) > 0.1
    assert max(outcome.p95) <= 0.2 + 0.3 + 1e-6


def test_the_interpreters_lock_bounds_what_many_processors_do() -> None:
    locks = Locks(0.001, 0.001, 0.001)
    # 40 cameras of 10 frames a second want the lock for 1.2 s a second.
    cameras = [camera(f"{n}", work=0.002) for n in range(40)]
    assert run(*cameras, processors=64, workers=8).within(0.25)
    assert not run(*cameras, processors=64, workers=8, locks=locks).within(0.25)


def test_the_same_seed_gives_the_same_outcome() -> None:
    cameras = [camera(f"{n}", fps=7.0) for n in range(9)]
    assert run(*cameras, seed=5) == run(*cameras, seed=5)
    assert run(*cameras, seed=5) != run(*cameras, seed=6)
