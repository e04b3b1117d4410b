"""Ten thousand cameras on a thousand nodes that fail and come back, placed by the code that a cluster uses.

Time is simulated, placing is not. Nodes fail at random, a rack of them now and then at once, and come back after a
while; cameras join and leave; costs rise at night and fall by day. After each event ``place`` is asked. What it
promises is held against its answers by counting anew.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from nightday.pipeline.cluster.placement import CameraDemand, Node, Placement, place

Kind = Literal[
    "node fails", "1 % fails", "rack fails", "nodes return", "cameras join", "cameras leave", "night", "day"
]

# Cores of nodes, and how many of ten there are of each; those with a GPU are the largest.
SIZES = (4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 8.0, 16.0, 16.0, 32.0)
# Share of the capacity that the cameras take by night, and what a camera takes by day of that.
FULL = 0.8
BY_DAY = 0.4
# Nodes of a rack, and how often such a one fails among the events; and how often one node of a hundred does.
RACK, RACK_SHARE, HUNDREDTH_SHARE = 20, 0.05, 0.05
# Seconds from a failure to the return of what failed, on average; and between events.
REPAIR, BETWEEN = 1800.0, 60.0


@dataclass(slots=True)
class Figures:
    """What the placements came to."""

    events: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    moved: list[tuple[Kind, float, float]] = field(default_factory=list)
    """Of each event, the share of the cameras that ran before and after, on another node; and of those whose node
    was still there.
    """
    needless: int = 0
    """Cameras that moved although their node was there and not overloaded, and nothing was without a place."""
    overfilled: int = 0
    """Nodes that an answer filled beyond their capacity, that were not overloaded before."""
    waiting: int = 0
    """Cameras without a node, summed over events, though all of them would take less than the nodes have."""

    def summary(self, cameras: int, nodes: int) -> dict[str, Any]:
        """For people and files."""
        return {
            "cameras": cameras,
            "nodes": nodes,
            "events": self.events,
            "seconds_median": float(np.median(self.seconds)),
            "seconds_worst": max(self.seconds),
            "moved_worst_percent": {
                kind: 100 * max(all_ for one, all_, _ in self.moved if one == kind) for kind in self.events
            },
            "of_nodes_that_stay_worst_percent": {
                kind: 100 * max(stay for one, _, stay in self.moved if one == kind) for kind in self.events
            },
            "moved_needlessly": self.needless,
            "overfilled_nodes": self.overfilled,
            "unplaced_though_there_was_room": self.waiting,
        }


class Cluster:
    """Cameras, nodes and where everything runs, while things happen.

    Args:
        cameras: how many there are at first.
        nodes: how many there are.
        seed: of all that is random.
    """

    def __init__(self, cameras: int, nodes: int, seed: int) -> None:
        self._rng = random.Random(seed)
        sizes = [self._rng.choice(SIZES) for _ in range(nodes)]
        self.nodes = {
            f"node{number}": Node(f"node{number}", size, gpu=size >= 32) for number, size in enumerate(sizes)
        }
        self._cost = FULL * sum(sizes) / cameras
        self.cameras: dict[str, CameraDemand] = {}
        self._number = itertools.count()
        self._light = 1.0
        self._away: dict[str, Node] = {}
        self._returns: list[tuple[float, tuple[str, ...]]] = []
        self._now = 0.0
        self.figures = Figures()
        self._join(cameras)
        self.placement = Placement()
        self._place("cameras join", {})

    def run(self, events: int) -> Figures:
        """Have so many things happen."""
        for _ in range(events):
            self._now += self._rng.expovariate(1 / BETWEEN)
            before = dict(self.placement.assigned)
            if self._returns and self._returns[0][0] <= self._now:
                _, names = heapq.heappop(self._returns)
                self.nodes |= {name: self._away.pop(name) for name in names}
                self._place("nodes return", before)
                continue
            self._place(self._happen(), before)
        return self.figures

    def _happen(self) -> Kind:
        chance = self._rng.random()
        if chance < RACK_SHARE:
            self._fail(RACK)
            return "rack fails"
        if chance < RACK_SHARE + HUNDREDTH_SHARE:
            self._fail(max(1, len(self.nodes) // 100))
            return "1 % fails"
        if chance < 0.6:
            self._fail(1)
            return "node fails"
        if chance < 0.75:
            self._join(self._rng.randint(1, max(1, len(self.cameras) // 200)))
            return "cameras join"
        if chance < 0.95:
            gone = self._rng.sample(sorted(self.cameras), max(1, len(self.cameras) // 300))
            for name in gone:
                del self.cameras[name]
            return "cameras leave"
        self._light = BY_DAY if self._light == 1.0 else 1.0
        kind: Kind = "night" if self._light == 1.0 else "day"
        factor = 1 / BY_DAY if kind == "night" else BY_DAY
        self.cameras = {name: replace(one, cost=one.cost * factor) for name, one in self.cameras.items()}
        return kind

    def _fail(self, count: int) -> None:
        first = self._rng.randrange(len(self.nodes))
        names = tuple(
            itertools.islice(
                itertools.cycle(sorted(self.nodes)), first, first + min(count, len(self.nodes) - 1)
            )
        )
        for name in names:
            self._away[name] = self.nodes.pop(name)
        heapq.heappush(self._returns, (self._now + self._rng.expovariate(1 / REPAIR), names))

    def _join(self, count: int) -> None:
        for _ in range(count):
            name = f"camera{next(self._number)}"
            cost = self._cost * self._light * self._rng.triangular(0.1, 2.6, 0.3)
            self.cameras[name] = CameraDemand(name, cost)

    def _place(self, kind: Kind, before: Mapping[str, str]) -> None:
        cameras, nodes = [*self.cameras.values()], [*self.nodes.values()]
        began = time.process_time()
        self.placement = place(cameras, nodes, before)
        figures = self.figures
        figures.seconds.append(time.process_time() - began)
        figures.events[kind] = figures.events.get(kind, 0) + 1
        self._judge(kind, cameras, nodes, before)

    def _judge(
        self, kind: Kind, cameras: Sequence[CameraDemand], nodes: Sequence[Node], before: Mapping[str, str]
    ) -> None:
        figures, after = self.figures, self.placement.assigned
        load_before, load = dict.fromkeys(self.nodes, 0.0), dict.fromkeys(self.nodes, 0.0)
        for camera in cameras:
            if (name := before.get(camera.name)) in load_before:
                load_before[name] += camera.cost
            if camera.name in after:
                load[after[camera.name]] += camera.cost
        over_before = {node.name for node in nodes if load_before[node.name] > node.capacity * (1 + 1e-6)}
        over = {node.name for node in nodes if load[node.name] > node.capacity * (1 + 1e-6)}
        moved = [name for name in after if name in before and after[name] != before[name]]
        stay = sum(before[name] in self.nodes for name in moved)
        figures.moved.append((kind, len(moved) / max(1, len(cameras)), stay / max(1, len(cameras))))
        figures.overfilled += len(over - over_before)
        room = sum(node.capacity for node in nodes) - sum(camera.cost for camera in cameras)
        figures.waiting += len(self.placement.unplaced) if room > 0 else 0
        tight = any(name not in before or before[name] not in self.nodes for name in self.cameras)
        figures.needless += sum(
            before[name] in self.nodes and before[name] not in over_before for name in moved if not tight
        )
