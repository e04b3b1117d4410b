"""Which nodes cannot run which cameras, so that each camera is tried elsewhere before it is given up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .messages import Report
from .placement import Node

# Seconds until a node is asked again for a camera that it has refused and that runs nowhere.
AGAIN_AFTER = 600.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node cannot run a camera as it is to run.

    Attributes:
        camera, node: which.
        why: a sentence.
        brightened: whether it runs there all the same, with its nights brightened, as its engine cannot be had.
    """

    camera: str
    node: str
    why: str
    brightened: bool = False


class Refusals:
    """Keeps them. For one thread; time is an argument, in seconds."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Refusal, float]] = {}
        self._told: dict[tuple[str, str], str] = {}
        self.news: list[Refusal] = []
        """Those that were not told yet. Whoever tells them empties it."""

    def hear(self, node: str, report: Report, cameras: Iterable[str], *, now: float) -> bool:
        """A node has reported how it is with ``cameras``, which it was given; whether one was refused anew."""
        told = [Refusal(name, node, why) for name, why in report.refused.items()]
        for one in report.cameras:
            if one.engine == "failed":
                why = one.engine_fault or "its engine could not be built"
                told.append(Refusal(one.name, node, why, brightened=one.state != "failed"))
        refused = {one.camera: one for one in told}
        running = {one.name: one.engine for one in report.cameras}
        new = False
        for camera in cameras:
            key = camera, node
            if camera in refused:
                new |= node not in self.nodes(camera, now=now)
                self._known[key] = refused[camera], now
                if self._told.get(key) != refused[camera].why:
                    self._told[key] = refused[camera].why
                    self.news.append(refused[camera])
            elif camera in running and (running[camera] != "preparing" or not self._brightened(key)):
                self._known.pop(key, None)
                self._told.pop(key, None)
        return new

    def _brightened(self, key: tuple[str, str]) -> bool:
        return key in self._known and self._known[key][0].brightened

    def forget(self, *, cameras: Iterable[str] = (), node: str | None = None) -> None:
        """Of these cameras, and of a node, nothing is known any more."""
        gone = {key for key in self._told if key[0] in {*cameras} or key[1] == node}
        for key in gone:
            self._known.pop(key, None)
            self._told.pop(key, None)

    def nodes(self, camera: str, *, now: float) -> dict[str, Refusal]:
        """The nodes that are not to be tried for a camera at present."""
        known = {node: told for (name, node), told in self._known.items() if name == camera}
        # To try again a camera that is seen somewhere would be a gap in its recordings.
        seen = any(refusal.brightened for refusal, _ in known.values())
        return {node: refusal for node, (refusal, at) in known.items() if seen or now < at + AGAIN_AFTER}

    def settled(
        self, costs: Mapping[str, float], nodes: Sequence[Node], current: Mapping[str, str], *, now: float
    ) -> dict[str, str]:
        """The node of each camera that some of ``nodes`` cannot run: one that may, else one where it is seen.

        Args:
            costs: what each camera takes of a node's capacity.
            nodes: those that are there.
            current: where cameras are now.
        """
        load = {node.name: 0.0 for node in nodes}
        for camera, has in current.items():
            if has in load:
                load[has] += costs.get(camera, 0.0)
        settled: dict[str, str] = {}
        for camera, cost in costs.items():
            refused = self.nodes(camera, now=now)
            if not any(node.name in refused for node in nodes):
                continue
            can = [node for node in nodes if node.name not in refused]
            seen = [node for node in nodes if node.name in refused and refused[node.name].brightened]
            fit = can or seen or nodes
            has = current.get(camera, "")
            if not any(node.name == has for node in fit):
                has = min(fit, key=lambda one: ((load[one.name] + cost) / one.capacity, one.name)).name
                load[has] += cost
            settled[camera] = has
        return settled
