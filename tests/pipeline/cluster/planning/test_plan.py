"""What fits, against trying every count, and remedies against trying them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nightday.pipeline.cluster.planning.demands import CameraKind, demand_of, mixed, one_output
from nightday.pipeline.cluster.planning.memory import camera_bytes, memory_limit
from nightday.pipeline.cluster.planning.plan import Planner
from nightday.pipeline.cluster.planning.profile import Curve, Profile
from nightday.pipeline.cluster.planning.simulation import Demand
from tests.pipeline.cluster.planning.profiles import flat, made_up

KIND = one_output(352, 288, 10.0, "busy", "recorded")


def planner(profile: Profile, *, budget: float = 0.25) -> Planner:
    return Planner(profile, budget=budget, max_batch=8)


def some(count: int, profile: Profile, kind: CameraKind = KIND) -> list[Demand]:
    return [demand_of(f"camera{n}", kind, profile) for n in range(count)]


def test_the_most_is_the_last_count_that_a_simulation_carries(rng: np.random.Generator) -> None:
    for _ in range(3):
        work = float(rng.uniform(0.01, 0.05))
        profile = made_up(quiet=flat(work), night_spread=(0.5, 1.0, 1.5), processors=int(rng.integers(1, 4)))
        plan = planner(profile, budget=float(rng.uniform(0.05, 0.3)))
        kind = replace(KIND, scene="quiet")
        carried = plan.most(lambda count, kind=kind, profile=profile: some(count, profile, kind))  # type: ignore[misc]
        assert plan.fault(some(carried.count + 1, profile, kind)) is not None
        if carried.count:
            assert plan.fault(some(carried.count, profile, kind)) is None
            assert carried.p95 is not None
            assert carried.p95 <= plan.budget


def test_about_as_many_as_the_processors_have_time_for() -> None:
    profile = made_up()
    carried = planner(profile).most(lambda count: some(count, profile))
    # A frame takes 1 + 10 + 2 + 0.1 ms, ten times a second, of two processors.
    assert carried.count == pytest.approx(2 / 0.131, rel=0.1)
    assert carried.limit in ("processor", "latency")


def test_memory_and_the_interpreter_are_limits_of_their_own() -> None:
    pixels = 352 * 288
    little = made_up(memory=1_000_000_000 + 3 * camera_bytes(pixels, backgrounds=True))
    carried = planner(little).most(lambda count: some(count, little))
    assert (carried.count, carried.limit) == (3, "memory")
    many = made_up(processors=64, at_once=64, decode_lock=0.0005, work_lock=0.0005, encode_lock=0.001)
    carried = planner(many).most(lambda count: some(count, many))
    # Of the lock's time, 2 ms ten times a second for each camera.
    assert carried.count <= 50
    assert carried.count >= 40
    assert carried.limit in ("interpreter", "latency")


def test_costs_lie_between_those_of_the_sizes_that_were_measured(rng: np.random.Generator) -> None:
    sizes = sorted(rng.choice(np.arange(1000, 3_000_000), 4, replace=False).tolist())
    costs = sorted(rng.uniform(0.001, 0.1, 4).tolist())
    curve = Curve(tuple(zip(sizes, costs, strict=True)))
    for at in rng.uniform(sizes[0], sizes[-1], 20).tolist():
        assert curve(at) == pytest.approx(float(np.interp(at, sizes, costs)))
    assert curve(0) == costs[0]
    slope = (costs[3] - costs[2]) / (sizes[3] - sizes[2])
    assert curve(2 * sizes[3]) == pytest.approx(costs[3] + slope * sizes[3])


def test_a_mix_has_each_kind_in_its_share() -> None:
    day = one_output(352, 288, 10.0, "day", "recorded")
    demands = mixed([(KIND, 0.25), (day, 0.75)], 40, made_up())
    assert sum(demand.translated for demand in demands) == 10
    assert len({demand.name for demand in demands}) == 40


def test_several_machines_carry_what_one_does_not_and_no_fewer_would() -> None:
    profile = made_up()
    plan = planner(profile)
    demands = some(50, profile)
    needed = plan.machines_for(demands)
    assert needed is not None
    assert 50 / 16 <= needed <= 50 / 13 + 1
    assigned = plan.spread(demands, needed)
    assert assigned is not None
    assert plan.spread(demands, needed - 1) is None
    for machine in set(assigned.values()):
        assert plan.fault([one for one in demands if assigned[one.name] == machine]) is None


def test_what_is_said_to_help_helps() -> None:
    profile = made_up(encode=Curve(((101_376, 0.002), (2_073_600, 0.03))))
    plan = planner(profile)
    kind = one_output(1920, 1080, 25.0, "busy", "restreamed")
    cameras = {f"camera{n}": kind for n in range(3)}
    remedies = plan.remedies(cameras, dict.fromkeys(cameras, profile), 1)
    assert len(remedies) == 3
    machines = int(remedies[0].split()[0])
    assert plan.spread(some(3, profile, kind), machines) is not None
    fps = float(remedies[1].split()[2])
    slower = replace(kind, fps=fps, streams=(replace(kind.streams[0], fps=fps),))
    assert plan.fault(some(3, profile, slower)) is None
    lines = int(remedies[2].split()[4])
    width = round(1920 * lines / 1080)
    assert plan.fault(some(3, profile, one_output(width, lines, 25.0, "busy", "restreamed"))) is None


def test_a_camera_that_no_machine_carries_is_not_helped_by_more_of_them() -> None:
    profile = made_up(encode=flat(3.0))
    assert planner(profile).machines_for(some(1, profile)) is None


def test_the_memory_of_a_container_counts(tmp_path_factory: pytest.TempPathFactory) -> None:
    system = tmp_path_factory.mktemp("system")
    (system / "proc/self").mkdir(parents=True)
    (system / "proc/meminfo").write_text("MemTotal:       16000000 kB\nMemFree:  1 kB\n")
    assert memory_limit(system) == 16_384_000_000
    (system / "proc/self/cgroup").write_text("0::/outer/inner\n")
    inner = system / "sys/fs/cgroup/outer/inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    assert memory_limit(system) == 16_384_000_000
    (inner.parent / "memory.max").write_text("2000000000\n")
    assert memory_limit(system) == 2_000_000_000
