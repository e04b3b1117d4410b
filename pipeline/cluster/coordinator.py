"""Which node has which camera, and since when it may be given to another.

A node writes a camera while it has its lease (``fence.py``). The lease counts from a stamp of the node's own clock:
each report brings one, and the next beat grants ``LEASE_SECONDS`` from it. The report arrived after it was stamped,
so the lease has run out for sure ``LEASE_SECONDS`` after that arrival, whatever was slow on the way. A camera of a
node that has died, or was stopped, is given to another only then, and under a higher epoch.

No Ray here, and time is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .fence import LEASE_SECONDS
from .messages import Beat, Happened, Part, Report, SharedFolder
from .placement import CameraDemand, Node, place
from .refusals import Refusals

# Seconds beyond the lease's end, for clocks that run at unequal speed.
MARGIN = 0.25
# The cost of a camera while none has been measured: shares of a core. It only spreads the cameras evenly.
UNMEASURED = 0.01
# Seconds between looks at whether a node is overloaded.
RELIEVE_EVERY = 30.0
# The capacity of a node that has none left.
_FULL = 1e-9
# The weight of a new measurement of a camera's cost.
RATE = 0.3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the cluster is to run.

    Attributes:
        file: the configuration's name.
        folder: where relative paths start.
        cameras: the entries of the cameras, by name, as plain values.
        rest: the other sections that nodes need.
        served: whether nodes are served over HTTP.
        learnt: where what cameras learn is kept.
    """

    file: str
    folder: Path
    cameras: Mapping[str, Mapping[str, Any]] = field(repr=False)
    rest: Mapping[str, Any] = field(repr=False)
    served: bool = False
    learnt: SharedFolder | None = None


@dataclass
class Member:
    """A node as the coordinator knows it.

    Attributes:
        node: its name and capacity.
        http: where it is served, if nodes are, as the section of a configuration.
        report: its last report.
        heard_at: when that came.
        void_at: when every lease that it was granted has run out.
        leaving: whether it is granted none any more.
        told: the number of the last of its events that was taken.
        late_to: the journal of which late events were taken last, and the number of the last one.
        part: what it is to run.
    """

    node: Node
    http: Mapping[str, Any] | None = field(default=None, repr=False)
    report: Report | None = None
    heard_at: float = 0.0
    void_at: float = float("-inf")
    leaving: bool = False
    told: int = 0
    late_to: tuple[str, int] | None = None
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The node that may write a camera, and the epoch under which it does."""

    node: str
    epoch: int


class Coordinator:
    """Gives cameras to nodes. The methods are for one thread.

    Args:
        epoch: all epochs are above it; Unix seconds, so that those of a later run are higher.
    """

    def __init__(self, *, epoch: int) -> None:
        self._epoch = epoch
        self._wanted: Wanted | None = None
        self.members: dict[str, Member] = {}
        """The nodes, by name."""
        self.held: dict[str, Held] = {}
        """Who may write each camera. Those that nobody may write are not in it."""
        self._placed: dict[str, str] = {}
        self.costs: dict[str, float] = {}
        """The processor time that each camera takes, where it was measured: seconds a second."""
        self.ended: set[str] = set()
        """Cameras that have come to their end: those of files."""
        self._place_at = float("-inf")
        self.begun = False
        """Whether cameras may be given out. Another coordinator's leases must have run out before."""
        self.refusals = Refusals()
        """Which nodes cannot run which cameras."""
        self.crowded = False
        """Whether the cameras take more than the nodes have."""

    def configure(self, wanted: Wanted) -> None:
        """Run this from now on."""
        before = {} if self._wanted is None else self._wanted.cameras
        # A camera that was changed is begun again, wherever it was.
        changed = {name for name, values in before.items() if wanted.cameras.get(name) != values}
        self.ended -= changed
        self.refusals.forget(cameras=changed)
        self._wanted = wanted
        self._place_at = float("-inf")

    @property
    def names(self) -> Sequence[str]:
        """The cameras, in the configuration's order."""
        return [] if self._wanted is None else [*self._wanted.cameras]

    @property
    def over(self) -> bool:
        """Whether every camera has come to its end."""
        return self.ended.issuperset(self.names)

    def join(self, node: Node, *, http: Mapping[str, Any] | None = None) -> None:
        """A node is there, which has not reported yet."""
        self.members[node.name] = Member(node, http)

    def leave(self, name: str) -> None:
        """A node is gone, or is to go: it is granted nothing more, and ``step`` drops it once its lease is void."""
        self.members[name].leaving = True
        self._place_at = float("-inf")

    def spare(self, name: str) -> float:
        """Processors that the cameras of a node leave; of those not measured yet, by what is usual."""
        usual = self._usual()
        used = sum(self.costs.get(camera, usual) for camera, held in self.held.items() if held.node == name)
        return self.members[name].node.capacity - used

    def beat(self, name: str) -> Beat:
        """What to tell a node now. It is sent once, in answer to one report, and then counts as received."""
        member = self.members[name]
        report, part = member.report, member.part
        if report is None:
            return Beat(None, told_to=member.told, late_to=member.late_to)
        member.void_at = max(member.void_at, member.heard_at + LEASE_SECONDS)
        known = part is None or report.version >= part.version
        return Beat(report.stamp + LEASE_SECONDS, None if known else part, member.told, member.late_to)

    def heard(self, name: str, report: Report, *, now: float) -> tuple[list[Happened], int]:
        """A node has reported, at ``now`` by the coordinator's clock.

        Returns what has happened there and was not taken before: of cameras that are its own, or of none; and how
        many events it could not keep.
        """
        member = self.members[name]
        own = {camera for camera, held in self.held.items() if held.node == name}
        happened, lost = _taken(member, report, own)
        if report.late is not None:
            member.late_to = report.late.journal, report.late.messages[-1].number
        if member.report is None:
            self._place_at = float("-inf")
        member.report, member.heard_at = report, now
        for camera, cost in report.costs.items():
            before = self.costs.get(camera, cost)
            self.costs[camera] = before + RATE * (cost - before)
        if member.part is not None and report.version >= member.part.version:
            given = [camera for camera in member.part.cameras if self._has(name, camera)]
            if self.refusals.hear(name, report, given, now=now):
                self._place_at = float("-inf")
        for state in report.cameras:
            given_up = state.engine != "failed" or not self._untried(state.name, now)
            ended = state.state == "finished" or (state.state == "failed" and given_up)
            if ended and self._has(name, state.name):
                self.ended.add(state.name)
        for camera, held in [*self.held.items()]:
            # It was taken from the node, which has let go of it.
            released = member.part is not None and camera not in member.part.cameras
            if held.node == name and released and report.written.get(camera) != held.epoch:
                assert member.part is not None
                if report.version >= member.part.version:
                    del self.held[camera]
        return happened, lost

    def _has(self, node: str, camera: str) -> bool:
        held = self.held.get(camera)
        return held is not None and held.node == node

    def _untried(self, camera: str, now: float) -> bool:
        """Whether there is a node that has not refused a camera."""
        there = {name for name, one in self.members.items() if one.report is not None and not one.leaving}
        return not there <= self.refusals.nodes(camera, now=now).keys()

    def step(self, *, now: float) -> list[str]:
        """Bring the nodes' parts up to date; returns the nodes that are dropped, whose leases have run out."""
        heir = any(
            member.report is not None and not member.leaving and not _is_silent(member, now)
            for member in self.members.values()
        )
        dropped = [
            name
            for name, member in self.members.items()
            # While no other can take its cameras, one that is silent keeps them, and goes on once it answers.
            if now > member.void_at + MARGIN and (member.leaving or (heir and _is_silent(member, now)))
        ]
        for name in dropped:
            del self.members[name]
            self.refusals.forget(node=name)
            self.held = {camera: held for camera, held in self.held.items() if held.node != name}
            self._place_at = float("-inf")
        if self.begun:
            if now >= self._place_at + RELIEVE_EVERY:
                self._place(now)
            self._give()
        for member in self.members.values():
            self._renew_part(member)
        return dropped

    def _place(self, now: float) -> None:
        """Say where each camera is to be. Where the nodes are too small for all, each still has its place."""
        nodes = [one.node for one in self.members.values() if one.report is not None and not one.leaving]
        self._place_at = now
        if not nodes or self._wanted is None:
            self._placed = {}
            return
        usual = self._usual()
        costs = {name: self.costs.get(name, usual) for name in self._wanted.cameras if name not in self.ended}
        current = {camera: held.node for camera, held in self.held.items()}
        settled = self.refusals.settled(costs, nodes, current, now=now)
        load = {node.name: 0.0 for node in nodes}
        for camera, node in settled.items():
            load[node] += costs[camera]
        left = [replace(one, capacity=max(one.capacity - load[one.name], _FULL)) for one in nodes]
        demands = [CameraDemand(name, cost) for name, cost in costs.items() if name not in settled]
        placement = place(demands, left, current)
        self._placed = {**settled, **placement.assigned}
        for camera, node in placement.assigned.items():
            load[node] += costs[camera]
        for camera in placement.unplaced:  # all slow down evenly, rather than that one is not seen
            best = min(nodes, key=lambda node: ((load[node.name] + costs[camera]) / node.capacity, node.name))
            self._placed[camera] = best.name
            load[best.name] += costs[camera]
        self.crowded = bool(placement.unplaced) and any(name in self.costs for name in costs)

    def _usual(self) -> float:
        """What a camera costs that was not measured yet."""
        known = [self.costs[name] for name in self.names if name in self.costs]
        return sum(known) / len(known) if known else UNMEASURED

    def _give(self) -> None:
        """Give cameras that nobody may write to the nodes where they are to be, under new epochs."""
        for camera, node in self._placed.items():
            if camera not in self.held and node in self.members and camera not in self.ended:
                self._epoch += 1
                self.held[camera] = Held(node, self._epoch)

    def _renew_part(self, member: Member) -> None:
        """Work out what a node is to run: what it holds and is to hold, and what has come to its end there."""
        wanted, name = self._wanted, member.node.name
        if wanted is None or member.report is None or member.leaving:
            return
        cameras = {
            camera: values
            for camera, values in wanted.cameras.items()
            if (held := self.held.get(camera)) is not None
            and held.node == name
            and (self._placed.get(camera) == name or camera in self.ended)
        }
        epochs = {camera: self.held[camera].epoch for camera in cameras}
        rest = {**wanted.rest, "http": member.http if wanted.served else None}
        part = member.part
        if part is None and not cameras:
            return
        new = Part(1, wanted.file, wanted.folder, cameras, epochs, rest, wanted.learnt)
        if part is None or new != replace(part, version=1):
            member.part = new if part is None else replace(new, version=part.version + 1)


def _taken(member: Member, report: Report, own: Collection[str]) -> tuple[list[Happened], int]:
    """The new events of a report. What a node tells of a camera that another has now is late, and not told."""
    new = [one for one in report.happened if one.number > member.told]
    if not new:
        return [], 0
    lost, member.told = new[0].number - member.told - 1, new[-1].number
    return [one for one in new if one.event.camera is None or one.event.camera in own], lost


def _is_silent(member: Member, now: float) -> bool:
    """Whether a node that has answered before has not done so for longer than a lease lasts."""
    return member.report is not None and now > member.heard_at + LEASE_SECONDS + MARGIN
