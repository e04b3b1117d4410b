"""Which node runs which camera.

The rules, in this order:

1. No node is filled beyond its capacity.
2. Every camera runs that can be made to run: where no node has room for one, running cameras move to make room.
3. A camera stays where it is. It moves when its node is gone or overloaded, or for rule 2. So a node that joins takes
   cameras without a node and what overloaded nodes give up, and nothing for evenness alone: each move is a gap in a
   camera's recordings.
4. What is placed goes where the share of the capacity in use will be lowest.

Where no other node has room, cameras of an overloaded node stay: all of them slow down evenly, which is better than
one that is not seen at all.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nightday.engines.errors import NightdayError

# Sums of many costs differ in their last digits by the order of adding.
ROUNDING = 1e-9
# Rule 2 looks at the nodes with the most room, and gives up where this many cameras in a row found none: then the
# cluster is full, and a search through all of it for each camera would take minutes.
NODES_TRIED = 16
FAILURES_IN_A_ROW = 32


class PlacementError(NightdayError, ValueError):
    """Cameras or nodes of which no placement can be made."""


@dataclass(frozen=True)
class CameraDemand:
    """What a camera needs.

    Attributes:
        name: unique among the cameras.
        cost: processor time that it takes, in seconds a second (shares of one core); ≥ 0.

    Raises:
        PlacementError: the cost is negative or no number.
    """

    name: str
    cost: float

    def __post_init__(self) -> None:
        if not 0 <= self.cost < math.inf:
            raise PlacementError(
                f"camera {self.name}: a cost of {self.cost} is no share of a core from 0 upwards"
            )


@dataclass(frozen=True)
class Node:
    """A machine that runs cameras.

    Attributes:
        name: unique among the nodes.
        capacity: processor time that cameras may take of it, in seconds a second (cores); above 0.
        gpu: whether it has a GPU; between nodes that would be equally loaded, one with a GPU is taken.

    Raises:
        PlacementError: the capacity is not above 0. A node that is to take no camera is left out.
    """

    name: str
    capacity: float
    gpu: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.capacity < math.inf:
            raise PlacementError(
                f"node {self.name}: a capacity of {self.capacity} is no number of cores above 0; leave out a node "
                "that is to take no camera"
            )


@dataclass(frozen=True)
class Placement:
    """Which node runs which camera.

    Attributes:
        assigned: camera → node.
        unplaced: cameras for which no node has room, sorted by name.
    """

    assigned: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unplaced: tuple[str, ...] = ()


def place(
    cameras: Sequence[CameraDemand], nodes: Sequence[Node], current: Mapping[str, str] | None = None
) -> Placement:
    """Where each of ``cameras`` runs, by the rules above.

    The same arguments give the same placement, whatever order cameras and nodes come in.

    Args:
        cameras: what is to run.
        nodes: the machines that are there.
        current: camera → node as it is now; cameras and nodes that are no more may be in it.

    Raises:
        PlacementError: two cameras or two nodes have the same name.
    """
    demands = sorted(_by_name("camera", cameras).values(), key=lambda camera: (-camera.cost, camera.name))
    known = _by_name("node", nodes)
    ordered = sorted(known.values(), key=lambda node: (not node.gpu, node.name))
    current = current or {}
    nodes_now = _Nodes(ordered)
    homeless = []
    for camera in demands:
        name = current.get(camera.name)
        if name in nodes_now.index:
            nodes_now.put(camera, nodes_now.index[name])
        else:
            homeless.append(camera)
    unplaced = nodes_now.fill(homeless)
    nodes_now.relieve()
    # Relief may leave a little more room than there was.
    unplaced = nodes_now.fill(unplaced)
    assigned = {
        camera: node.name for node, held in zip(ordered, nodes_now.held, strict=True) for camera in held
    }
    return Placement(
        MappingProxyType({name: assigned[name] for name in sorted(assigned)}),
        tuple(sorted(camera.name for camera in unplaced)),
    )


class _Nodes:
    """The nodes with what runs on each, while a placement is worked out."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.index = {node.name: at for at, node in enumerate(nodes)}
        self.held: list[dict[str, CameraDemand]] = [{} for _ in nodes]
        self._capacity = np.array([node.capacity for node in nodes], np.float64)
        self._load = np.zeros(len(nodes))

    def put(self, camera: CameraDemand, at: int) -> None:
        self.held[at][camera.name] = camera
        self._load[at] += camera.cost

    def fill(self, cameras: Sequence[CameraDemand]) -> list[CameraDemand]:
        """Place cameras: evenly if all fit that way, else as tightly as it takes; returns those that do not fit."""
        placed, left = self._place_all(cameras, tightly=False)
        if left:
            for camera, at in placed:
                self._take(camera, at)
            _, left = self._place_all(cameras, tightly=True)
            left = self._squeeze_in_all(left)
        return left

    def relieve(self) -> None:
        """Move as few cameras as bring overloaded nodes back within their capacity, as far as others have room."""
        for at in np.argsort(self._room() / self._capacity, kind="stable"):
            self._move_out(int(at), room=0)

    def _take(self, camera: CameraDemand, at: int) -> None:
        del self.held[at][camera.name]
        self._load[at] -= camera.cost

    def _place_all(
        self, cameras: Sequence[CameraDemand], *, tightly: bool
    ) -> tuple[list[tuple[CameraDemand, int]], list[CameraDemand]]:
        placed, left = [], []
        for camera in cameras:
            at = self._best(camera.cost, tightly=tightly)
            if at is None:
                left.append(camera)
            else:
                self.put(camera, at)
                placed.append((camera, at))
        return placed, left

    def _squeeze_in_all(self, cameras: Sequence[CameraDemand]) -> list[CameraDemand]:
        """Place cameras that fit nowhere by moving smaller ones; returns those for which that fails too."""
        left: list[CameraDemand] = []
        failures = 0
        for camera in cameras:
            if failures < FAILURES_IN_A_ROW and self._squeeze_in(camera):
                failures = 0
            else:
                failures += 1
                left.append(camera)
        return left

    def _squeeze_in(self, camera: CameraDemand) -> bool:
        room = np.maximum(self._room(), 0)
        if room.sum() < camera.cost:
            return False
        for at in np.argsort(-room, kind="stable")[:NODES_TRIED].tolist():
            moved = self._move_out(at, room=camera.cost, below=camera.cost)
            if self._room()[at] >= camera.cost:
                self.put(camera, at)
                return True
            for other, to in reversed(moved):
                self._take(other, to)
                self.put(other, at)
        return False

    def _move_out(self, at: int, *, room: float, below: float = math.inf) -> list[tuple[CameraDemand, int]]:
        """Move cameras elsewhere until there is ``room``; returns them and where they went.

        Only those that cost less than ``below`` move. Each time the smallest that suffices alone goes, else the
        largest of those that fit elsewhere.
        """
        cameras = sorted(
            (camera for camera in self.held[at].values() if camera.cost < below),
            key=lambda camera: (camera.cost, camera.name),
        )
        moved = []
        while cameras and (needed := room - self._room()[at]) > 0:
            elsewhere = self._room()
            elsewhere[at] = -math.inf
            fitting = bisect_right(cameras, elsewhere.max(), key=attrgetter("cost"))
            if not fitting:
                break
            sufficing = bisect_left(cameras, needed, key=attrgetter("cost"))
            camera = cameras.pop(min(sufficing, fitting - 1))
            to = self._best(camera.cost, tightly=False, besides=at)
            assert to is not None
            self._take(camera, at)
            self.put(camera, to)
            moved.append((camera, to))
        return moved

    def _best(self, cost: float, *, tightly: bool, besides: int | None = None) -> int | None:
        """The node with room for ``cost`` that will be loaded least, or that has the least room; None if none has."""
        if not len(self._load):
            return None
        room = self._room()
        if besides is not None:
            room[besides] = -math.inf
        rank = room if tightly else (self._load + cost) / self._capacity
        rank = np.where(room >= cost, rank, math.inf)
        at = int(rank.argmin())
        return at if rank[at] < math.inf else None

    def _room(self) -> NDArray[np.float64]:
        return self._capacity * (1 + ROUNDING) - self._load


Named = TypeVar("Named", CameraDemand, Node)


def _by_name(kind: str, things: Sequence[Named]) -> dict[str, Named]:
    named = {thing.name: thing for thing in things}
    if len(named) < len(things):
        names = [thing.name for thing in things]
        twice = next(name for name in names if names.count(name) > 1)
        raise PlacementError(f"{kind} {twice} is there twice; names are unique")
    return named
