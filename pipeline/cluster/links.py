"""The coordinator's ends of the nodes' processes: what is asked of them, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nightday.engines.distribution import program_version

from ..core.camera_url import redact
from ..core.events import Notice, Publish
from ..core.words import counted
from .coordinator import Coordinator
from .messages import Beat, Happened, Report
from .placement import Node
from .ray_nodes import RayNode
from .trainings import Task

# Seconds between beats to a node.
BEAT_EVERY = 1.0
# Seconds until a node on which something failed is tried again, doubled each time up to the last.
AGAIN_AFTER, AGAIN_AT_MOST = 2.0, 60.0


class Actor(Protocol):
    """The process of a node. No call waits."""

    def beat(self, beat: Beat) -> Future[Report]:
        """Have it take a beat."""
        ...

    def drain(self) -> Future[Report]:
        """Have it end its cameras in good order."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


class Nodes(Protocol):
    """The machines of a cluster; see ``RayNodes``."""

    @property
    def alive(self) -> Sequence[RayNode]:
        """Those that are there."""
        ...

    @property
    def looks(self) -> int:
        """How often Ray's head has told which there are; it rises every second while the head answers."""
        ...

    def start(self, node: RayNode) -> Actor:
        """Start the process of one."""
        ...

    def train(self, node: RayNode, folder: Path, start: Path, words: Sequence[str]) -> Task:
        """Start the training of a round on one; see ``train_round``."""
        ...


@dataclass
class _Link:
    """The coordinator's end of a node's process."""

    node: RayNode
    actor: Actor
    answer: Future[Report]
    asked_at: float
    heard: bool = False  # whether its present answer was taken
    known: bool = False  # whether it has ever answered


@dataclass
class _Trouble:
    """What went wrong with a node of late."""

    failures: int = 0
    again_at: float = float("-inf")
    told: str = ""


class NodeLinks:
    """A link to each node. The methods are for the coordinator's thread, and return at once.

    A node has one beat at a time: the next is sent once the last was answered.

    Args:
        nodes: the machines.
        coordinator: told what comes and goes, and asked what to tell.
        publish: told what happens to nodes.
        http: where a node is to be served, as the section of a configuration.
        tell: told what a node has reported, and what of it has happened that was not told before.
    """

    def __init__(
        self,
        nodes: Nodes,
        coordinator: Coordinator,
        publish: Publish,
        http: Callable[[RayNode], Mapping[str, Any]],
        tell: Callable[[str, Report, Sequence[Happened]], None],
    ) -> None:
        self._nodes = nodes
        self._coordinator = coordinator
        self._publish = publish
        self._http = http
        self._tell_outside = tell
        self._links: dict[str, _Link] = {}
        self._troubles: dict[str, _Trouble] = {}

    @property
    def awaited(self) -> bool:
        """Whether a node has not answered for the first time yet, and nothing went wrong with it either."""
        return any(not link.known and name not in self._troubles for name, link in self._links.items())

    def hear(self, now: float) -> None:
        """Take the nodes' answers."""
        for name, link in self._links.items():
            if self._coordinator.members[name].leaving or link.heard or not link.answer.done():
                continue
            link.heard = True
            error = link.answer.exception()
            report = None if error is not None else link.answer.result()
            if report is None:
                self._fail(name, line_of(error), now)
            elif report.program != program_version():
                self._fail(name, f"it has version {report.program}, not {program_version()}", now)
            else:
                self._take(name, link, report, now)

    def meet(self, now: float) -> None:
        """Start the processes of nodes that have come, and let go of those that have left."""
        alive = {node.name: node for node in self._nodes.alive}
        for name, node in alive.items():
            trouble = self._troubles.get(name)
            if name not in self._links and (trouble is None or now >= trouble.again_at):
                self._start(node, now)
        for name, link in self._links.items():
            if alive.get(name) != link.node and not self._coordinator.members[name].leaving:
                self._coordinator.leave(name)

    def beat(self, now: float) -> None:
        """Send a beat to each node that is due one."""
        for name, link in self._links.items():
            leaving = self._coordinator.members[name].leaving
            if link.heard and not leaving and now - link.asked_at >= BEAT_EVERY:
                link.asked_at, link.heard = now, False
                link.answer = link.actor.beat(self._coordinator.beat(name))

    def drop(self, name: str) -> None:
        """Have done with a node whose lease has run out; it may join again."""
        self._links.pop(name).actor.kill()
        self._tell("node_lost", f"node {name} is gone; its cameras go to others", "warning")

    def drain(self) -> dict[str, Future[Report]]:
        """Have every node end its cameras in good order; their last reports, by name."""
        return {name: link.actor.drain() for name, link in self._links.items() if link.known}

    def take(self, name: str, report: Report, now: float) -> None:
        """A node has reported: let the coordinator hear it, and tell what has happened there."""
        happened, lost = self._coordinator.heard(name, report, now=now)
        if lost:
            detail = f"node {name} could not keep {counted(lost, 'event')} while it was not asked"
            self._tell("events_lost", detail, "warning")
        self._tell_outside(name, report, happened)

    def close(self) -> None:
        """End every process."""
        for link in self._links.values():
            link.actor.kill()

    def _start(self, node: RayNode, now: float) -> None:
        try:
            actor = self._nodes.start(node)
        except Exception as error:  # Ray's own, of which there are many
            self._note_failure(node.name, line_of(error), now)
            return
        self._coordinator.join(Node(node.name, node.cpus, node.gpu), http=self._http(node))
        self._links[node.name] = _Link(node, actor, actor.beat(Beat(None)), now)

    def _take(self, name: str, link: _Link, report: Report, now: float) -> None:
        if not link.known:
            link.known = True
            self._tell("node_joined", f"node {name} is there, with {link.node.cpus:g} processors", "info")
        self.take(name, report, now)
        if report.problem is not None:
            self._fail(name, report.problem, now)

    def _fail(self, name: str, why: str, now: float) -> None:
        """A node cannot go on. Its cameras go elsewhere once its lease is void; later it is tried again."""
        self._note_failure(name, why, now)
        self._coordinator.leave(name)

    def _note_failure(self, name: str, why: str, now: float) -> None:
        trouble = self._troubles.setdefault(name, _Trouble())
        delay = min(AGAIN_AT_MOST, AGAIN_AFTER * 2**trouble.failures)
        trouble.failures, trouble.again_at = trouble.failures + 1, now + delay
        if trouble.told != why:
            trouble.told = why
            self._tell("node_failed", f"node {name}: {redact(why)}", "error")

    def _tell(self, name: Any, detail: str, level: Any) -> None:
        self._publish(Notice(name=name, detail=detail, level=level))


def line_of(error: BaseException | None) -> str:
    """An error in a line: of Ray's, which bring a traceback, the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redact(lines[-1] if lines else type(error).__name__)
