"""Leases, epochs and who has which camera, without Ray, on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nightday.pipeline.cluster.coordinator import MARGIN, RELIEVE_EVERY, Coordinator, Wanted
from nightday.pipeline.cluster.fence import LEASE_SECONDS, Fence
from nightday.pipeline.cluster.messages import Beat, Report
from nightday.pipeline.cluster.placement import Node
from nightday.pipeline.cluster.refusals import AGAIN_AFTER
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.lease import Lease
from nightday.pipeline.core.status import CameraStatus, EngineState


class Machine:
    """A node whose clock began at another time, and that keeps the rules of a node runner."""

    def __init__(self, name: str, world: World, offset: float) -> None:
        self.name = name
        self._world = world
        self._offset = offset
        self.frozen = False
        self.slow = 0.0  # seconds that its answers are on their way
        self.fence = Fence(self.clock)
        self.version = 0
        self.epochs: Mapping[str, int] = {}
        self.written: dict[str, int] = {}
        self.ending: set[str] = set()  # cameras that take their time to end
        self.costs: dict[str, float] = {}
        self.ended: set[str] = set()
        self.refuses: dict[str, str] = {}  # cameras that cannot run here, and why
        self.unbuilt: set[str] = set()  # cameras whose engines cannot be had here
        self.leases: dict[str, Lease] = {}

    def clock(self) -> float:
        return self._world.now + self._offset

    def take(self, beat: Beat) -> Report:
        if beat.lease_until is not None:
            self.fence.renew(beat.lease_until)
        if beat.part is not None and beat.part.version > self.version:
            self.version, self.epochs = beat.part.version, beat.part.epochs
            self.written |= self.epochs
            self.leases |= {name: self.fence.lease(name, epoch) for name, epoch in self.epochs.items()}
        self.written = {
            name: epoch
            for name, epoch in self.written.items()
            if self.epochs.get(name) == epoch or name in self.ending
        }
        self.fence.keep(self.written)
        runs = self.epochs.keys() - self.refuses.keys() - self.ended
        return Report(
            stamp=self.clock(),
            version=self.version,
            written=dict(self.written),
            program="1",
            costs=self.costs,
            refused={name: why for name, why in self.refuses.items() if name in self.epochs},
            cameras=(
                *(status(name, "finished") for name in self.ended),
                *(replace(status(name, "playing"), engine=self._engine(name)) for name in runs),
            ),
        )

    def _engine(self, camera: str) -> EngineState:
        return "failed" if camera in self.unbuilt else "ready"

    def writes(self) -> set[str]:
        """The cameras that its outputs would write a picture of now."""
        return set() if self.frozen else {name for name, lease in self.leases.items() if lease.may_write()}


class World:
    """A coordinator and machines, turn by turn. A beat is answered in the turn after, unless its machine is slow."""

    def __init__(self, rng: np.random.Generator, *names: str, cores: float = 4.0) -> None:
        self.now = 1000.0
        self._rng = rng
        self.coordinator = Coordinator(epoch=int(rng.integers(1, 10**9)))
        self.machines: dict[str, Machine] = {}
        self.posted: dict[str, tuple[float, Beat] | None] = {}
        self.answers: dict[str, tuple[float, Report] | None] = {}
        self.dropped: list[str] = []
        for name in names:
            self.join(name, cores=cores)
        self.coordinator.begun = True

    def join(self, name: str, *, cores: float = 4.0) -> Machine:
        machine = self.machines[name] = Machine(name, self, float(self._rng.uniform(-1e6, 1e6)))
        self.coordinator.join(Node(name, cores))
        self.posted[name], self.answers[name] = (self.now, Beat(None)), None
        return machine

    def want(self, *cameras: str, **changed: Any) -> None:
        entries = {name: {"name": name, **changed.get(name, {})} for name in cameras}
        self.coordinator.configure(Wanted("cameras.yaml", Path("/"), entries, {"engine": {}}))

    def turn(self, seconds: float = 0.5) -> None:
        self.now += seconds
        for name, machine in self.machines.items():
            posted = self.posted[name]
            if posted is not None and not machine.frozen and self.now >= posted[0]:
                self.answers[name] = (self.now + machine.slow, machine.take(posted[1]))
                self.posted[name] = None
        for name, answer in [*self.answers.items()]:
            if answer is not None and self.now >= answer[0] and name in self.coordinator.members:
                self.coordinator.heard(name, answer[1], now=self.now)
                self.posted[name] = (self.now, self.coordinator.beat(name))
                self.answers[name] = None
        self.dropped += self.coordinator.step(now=self.now)
        self.check()

    def turns(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.turn(float(self._rng.uniform(0.05, 0.6)))

    def check(self) -> None:
        """No camera is written twice, whatever has happened."""
        writers = [(name, camera) for name, one in self.machines.items() for camera in one.writes()]
        cameras = [camera for _, camera in writers]
        assert len(cameras) == len(set(cameras)), writers

    def where(self) -> dict[str, str]:
        return {camera: held.node for camera, held in self.coordinator.held.items()}


def status(name: str, state: str) -> CameraStatus:
    return CameraStatus(
        name=name,
        state=state,
        reason=None,
        night=None,
        outputs_in_trouble=(),
        stats=CameraStats().snapshot(),
    )


@pytest.fixture
def world(rng: np.random.Generator) -> World:
    return World(rng, "a", "b")


def test_every_camera_is_given_to_a_node_and_may_be_written(world: World) -> None:
    world.want("one", "two", "three")
    world.turns(3.0)
    written = {name: machine.writes() for name, machine in world.machines.items()}
    assert sorted(camera for cameras in written.values() for camera in cameras) == ["one", "three", "two"]
    assert all(written.values())  # both nodes have some
    assert world.where() == {camera: name for name, cameras in written.items() for camera in cameras}


def test_nothing_is_given_out_before_that_is_safe(rng: np.random.Generator) -> None:
    world = World(rng, "a")
    world.coordinator.begun = False
    world.want("one")
    world.turns(10.0)
    assert not world.where()
    world.coordinator.begun = True
    world.turns(2.0)
    assert world.machines["a"].writes() == {"one"}


@pytest.mark.parametrize("slow", [0.0, 0.4, 1.5])
def test_cameras_of_a_node_that_stops_are_given_away_once_its_lease_has_run_out(
    world: World, slow: float
) -> None:
    for machine in world.machines.values():
        machine.slow = slow
    world.want(*"cdefgh")
    world.turns(8.0)
    lost = {camera for camera, node in world.where().items() if node == "a"}
    epochs = {camera: held.epoch for camera, held in world.coordinator.held.items()}
    assert lost
    frozen, stopped_at = world.machines["a"], world.now
    frozen.frozen = True
    while world.machines["b"].writes() < set("cdefgh"):
        world.turn(0.1)
        # As if it were thawed at just this moment: what it would write now, nobody else may.
        frozen.frozen = False
        world.check()
        frozen.frozen = True
        assert world.now < stopped_at + 12.0
    assert world.dropped == ["a"]
    assert all(world.coordinator.held[camera].epoch > max(epochs.values()) for camera in lost)
    assert all(world.coordinator.held[camera].epoch == epochs[camera] for camera in set("cdefgh") - lost)


def test_a_thawed_node_writes_nothing_even_if_a_late_beat_reaches_it(world: World) -> None:
    world.want("one", "two")
    world.turns(5.0)
    frozen = world.machines["a"]
    assert frozen.writes()
    frozen.frozen = True
    world.turns(LEASE_SECONDS + 4.0)
    frozen.frozen = False  # the beat that was on its way is delivered now
    world.turn()
    assert not frozen.writes()
    assert world.machines["b"].writes() == {"one", "two"}
    world.turns(5.0)
    assert not frozen.writes()


def test_a_node_that_nobody_beats_to_stops_writing_by_itself(world: World) -> None:
    world.want("one")
    world.turns(5.0)
    (writer,) = [machine for machine in world.machines.values() if machine.writes()]
    world.now += LEASE_SECONDS
    assert not writer.writes()


def test_a_coordinator_that_stood_still_takes_nothing_away_from_nodes_that_answer(world: World) -> None:
    world.want("one", "two")
    world.turns(5.0)
    before = dict(world.coordinator.held)
    world.now += 60.0  # the answers to the last beats have been waiting all that time
    world.turns(5.0)
    assert world.coordinator.held == before
    assert not world.dropped
    assert {camera for one in world.machines.values() for camera in one.writes()} == {"one", "two"}


def test_where_no_node_answers_each_goes_on_with_its_own_once_it_does(world: World) -> None:
    world.want("one", "two")
    world.turns(5.0)
    before = dict(world.coordinator.held)
    for machine in world.machines.values():
        machine.frozen = True
    world.turns(20.0)
    assert world.coordinator.held == before
    for machine in world.machines.values():
        machine.frozen = False
    assert not any(machine.writes() for machine in world.machines.values())
    world.turns(3.0)
    assert world.coordinator.held == before
    assert not world.dropped
    assert {camera for one in world.machines.values() for camera in one.writes()} == {"one", "two"}


def test_a_camera_moves_only_when_its_node_has_let_go_of_it(rng: np.random.Generator) -> None:
    world = World(rng, "a", cores=1.0)
    world.want("one", "two")
    world.turns(3.0)
    first = world.machines["a"]
    first.costs, first.ending = {"one": 0.9, "two": 0.9}, {"one", "two"}
    world.join("b", cores=1.0)
    world.turns(RELIEVE_EVERY + 10.0)
    # One of them is to move, but its outputs have not ended.
    assert first.version == 2
    (moving,) = {"one", "two"} - first.epochs.keys()
    assert world.where()[moving] == "a"
    assert first.writes() == {"one", "two"}
    first.ending = set()
    world.turns(3.0)
    assert world.where()[moving] == "b"
    assert world.machines["b"].writes() == {moving}


def test_without_room_for_all_every_camera_still_has_a_node(rng: np.random.Generator) -> None:
    world = World(rng, "a", "b", cores=1.0)
    world.want(*(f"c{number}" for number in range(20)))
    for machine in world.machines.values():
        machine.costs = {f"c{number}": 0.5 for number in range(20)}
    world.turns(5.0)
    world.coordinator.configure(
        replace_cameras(world, 21)
    )  # what was measured counts from the next placement on
    world.turns(5.0)
    assert world.coordinator.crowded
    assert len(world.where()) == 21
    counts = [list(world.where().values()).count(name) for name in ("a", "b")]
    assert abs(counts[0] - counts[1]) <= 1


def replace_cameras(world: World, count: int) -> Wanted:
    entries = {f"c{number}": {"name": f"c{number}"} for number in range(count)}
    return Wanted("cameras.yaml", Path("/"), entries, {"engine": {}})


def test_cameras_come_and_go_with_the_configuration(world: World) -> None:
    world.want("one", "two")
    world.turns(4.0)
    two = world.coordinator.held["two"]
    world.want("two", "three")
    world.turns(4.0)
    assert set(world.where()) == {"two", "three"}
    assert world.coordinator.held["two"] == two
    assert {camera for one in world.machines.values() for camera in one.writes()} == {"two", "three"}


def test_a_changed_camera_stays_where_it_is(world: World) -> None:
    world.want("one", "two")
    world.turns(4.0)
    before = dict(world.coordinator.held)
    world.want("one", "two", one={"translate": "never"})
    world.turns(4.0)
    assert world.coordinator.held == before
    part = world.coordinator.members[before["one"].node].part
    assert part is not None
    assert part.cameras["one"]["translate"] == "never"


def test_a_file_that_has_ended_is_not_begun_again_elsewhere(world: World) -> None:
    world.want("one", "two")
    world.turns(4.0)
    node = world.where()["one"]
    world.machines[node].ended = {"one"}
    world.turns(2.0)
    assert world.coordinator.ended == {"one"}
    world.machines[node].frozen = True
    world.turns(LEASE_SECONDS + 5.0)
    assert "one" not in world.where()
    world.want("one", "two", one={"url": "another.mp4"})
    world.turns(3.0)
    assert "one" in world.where()


def test_a_node_that_leaves_keeps_its_cameras_until_its_lease_is_void(world: World) -> None:
    world.want("one", "two")
    world.turns(4.0)
    lost = {camera for camera, node in world.where().items() if node == "a"}
    void_at = world.coordinator.members["a"].void_at
    world.coordinator.leave("a")
    world.posted["a"] = world.answers["a"] = None
    while "a" in world.coordinator.members:
        world.turn(0.1)
        assert world.now <= void_at + MARGIN + 0.2
    assert void_at < world.now
    world.turns(2.0)
    assert lost <= world.machines["b"].writes()


def test_no_camera_is_written_twice_whatever_happens(rng: np.random.Generator) -> None:
    world = World(rng, "a", "b", "c")
    cameras = [f"c{number}" for number in range(9)]
    world.want(*cameras)
    names = 0
    for _ in range(150):
        machine = world.machines[str(rng.choice([*world.machines]))]
        match int(rng.integers(7)):
            case 0:
                machine.frozen = not machine.frozen
            case 1:
                machine.slow = float(rng.uniform(0.0, 3.0))
            case 2:
                world.want(*(name for name in cameras if rng.random() < 0.8))
            case 3:
                machine.costs = {name: float(rng.uniform(0.0, 2.0)) for name in cameras}
            case 4:
                machine.ending = {name for name in cameras if rng.random() < 0.3}
            case 5:
                machine.refuses = {name: "no model.pt" for name in cameras if rng.random() < 0.3}
            case 6 if len(world.machines) < 8:
                names += 1
                world.join(f"n{names}")
        world.turns(float(rng.uniform(0.1, 8.0)))
    for machine in world.machines.values():
        machine.frozen, machine.slow, machine.ending, machine.costs = False, 0.0, set(), {}
    world.join("last", cores=100.0)
    world.want(*cameras)
    world.turns(60.0)
    written = [camera for one in world.machines.values() for camera in one.writes()]
    assert sorted(written) == cameras


def test_an_old_report_changes_nothing_for_a_camera_that_was_given_anew(world: World) -> None:
    world.want("one")
    world.turns(4.0)
    name = world.where()["one"]
    report = world.coordinator.members[name].report
    assert report is not None
    world.coordinator.heard(name, replace(report, version=0, written={}), now=world.now)
    assert world.where() == {"one": name}


def moves(world: World, seconds: float) -> list[tuple[str, str]]:
    """Which cameras were given to which nodes within some seconds."""
    given: list[tuple[str, str]] = []
    held = dict(world.coordinator.held)
    end = world.now + seconds
    while world.now < end:
        world.turn(0.5)
        new = world.coordinator.held
        given += [(camera, one.node) for camera, one in new.items() if held.get(camera) != one]
        held = dict(new)
    return given


def test_a_camera_that_its_node_refuses_is_tried_on_each_other_node_once(rng: np.random.Generator) -> None:
    world = World(rng, "a", "b", "c")
    for name in "abc":
        world.machines[name].refuses = {"one": f"no model.pt on {name}"}
    world.want("one", "two", "three")
    given = moves(world, 60.0)
    assert sorted(node for camera, node in given if camera == "one") == ["a", "b", "c"]
    assert sorted(camera for camera, _ in given if camera != "one") == ["three", "two"]
    told = [(one.camera, one.node, one.why) for one in world.coordinator.refusals.news]
    assert sorted(told) == [("one", name, f"no model.pt on {name}") for name in "abc"]
    # It stays with the last one until one of the others is asked again.
    last = given[-1][1]
    assert not moves(world, AGAIN_AFTER - 90.0)
    assert world.where()["one"] == last
    fine = next(name for name in "abc" if name != last)
    world.machines[fine].refuses = {}
    moves(world, 120.0)
    assert world.where()["one"] == fine
    assert "one" in world.machines[fine].writes()
    assert len(world.coordinator.refusals.news) == 3
    assert not moves(world, RELIEVE_EVERY + 10.0)


def test_a_refused_camera_goes_where_it_can_run_and_its_cost_counts_there(rng: np.random.Generator) -> None:
    world = World(rng, "a", "b", cores=1.0)
    for machine in world.machines.values():
        machine.costs = dict.fromkeys(("one", "two", "three", "four"), 0.4)
    world.machines["a"].refuses = dict.fromkeys(("one", "two"), "the folder is read-only")
    world.want("one", "two", "three", "four")
    moves(world, 30.0)
    assert [world.where()[name] for name in ("one", "two")] == ["b", "b"]
    moves(world, 2 * RELIEVE_EVERY)
    assert [world.where()[name] for name in ("three", "four")] == ["a", "a"]
    # The only node that could run them is gone: rather refused than without any.
    world.machines["b"].frozen = True
    moves(world, 20.0)
    assert {*world.where().values()} == {"a"}


def test_a_camera_whose_engine_no_node_has_stays_where_it_is_seen(rng: np.random.Generator) -> None:
    world = World(rng, "a", "b", "c")
    world.machines["a"].unbuilt = world.machines["b"].unbuilt = {"one"}
    world.machines["c"].refuses = {"one": "no model.pt"}
    world.want("one")
    given = moves(world, 60.0)
    assert len(given) <= 4
    assert world.where()["one"] in ("a", "b")
    assert not moves(world, AGAIN_AFTER)
    world.join("d")
    moves(world, RELIEVE_EVERY + 10.0)
    assert world.where()["one"] == "d"


def test_a_camera_that_was_changed_is_tried_everywhere_again(world: World) -> None:
    world.machines["a"].refuses = world.machines["b"].refuses = {"one": "no model.pt"}
    world.want("one", "two")
    moves(world, 30.0)
    last = world.where()["one"]
    (other,) = {"a", "b"} - {last}
    world.machines[other].refuses = {}
    world.want("one", "two", one={"model": "another.pt"})
    moves(world, 30.0)
    assert world.where()["one"] == other
