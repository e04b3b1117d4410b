"""The coordinator's loop: meets nodes, beats to them, hears them, and has cameras given to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError
from ..config.schema import Config
from ..core.counters import EventCounter
from ..core.event_log import to_log
from ..core.events import EventBus, Notice, NoticeName
from ..core.status import CameraStatus
from ..monitoring.listening import WebError
from ..supervision.commands import CommandQueue
from ..supervision.outcome import Cause, Outcome
from ..supervision.systemd import Notifier
from .coordinator import MARGIN, Coordinator, Wanted
from .fence import LEASE_SECONDS, boot_seconds
from .head_watch import GONE, HeadWatch
from .learning import ClusterLearning
from .links import BEAT_EVERY, NodeLinks, Nodes, line_of
from .messages import Happened, Report
from .moves import Moves
from .outside import Outside
from .view import ClusterView

# Seconds between turns of the loop.
TURN = 0.1
# Seconds that nodes have to answer for the first time before cameras are given to those that have.
GATHER = 45.0
# Seconds that nodes have to end their cameras.
DRAIN_WITHIN = 9.0


@dataclass
class ClusterRun:
    """Runs a configuration on the nodes of a cluster. One thread may ``run``, any may look at ``view``.

    Args:
        nodes: the machines.
        config: what to run.
        file: the configuration's name.
        reload: reads the configuration again. Raises ConfigError to leave everything as it is.
        commands: where ``"stop"`` and ``"reload"`` come from.
        clock: seconds, on a clock that goes on while the machine is stopped.
        notifier: tells systemd.
        wall_time: Unix seconds.
    """

    nodes: Nodes
    config: Config
    file: str
    reload: Callable[[], Config]
    commands: CommandQueue = field(default_factory=CommandQueue)
    clock: Callable[[], float] = boot_seconds
    notifier: Notifier = field(default_factory=Notifier)
    wall_time: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._events = EventCounter()
        self._bus = EventBus(to_log, self._events.count)
        self.coordinator = Coordinator(epoch=int(self.wall_time()))
        self._learning = ClusterLearning(
            renew=lambda: self.commands.put("renew"), start=self.nodes.train, publish=self._bus.publish
        )
        self.view = ClusterView(self._events, self.clock, self._learning.status)
        """What is seen of it."""
        self._outside = Outside(self.view, self._bus)
        self._links = NodeLinks(
            self.nodes, self.coordinator, self._bus.publish, self._outside.http_of, self._hear
        )
        self._moves = Moves(self._bus.publish)
        self._head = HeadWatch(self._bus.publish, self.clock())
        self._began = self.clock()

    def run(
        self,
        *,
        duration: float | None,
        report: Callable[[Sequence[CameraStatus], float], None] | None = None,
        report_every: float = 1.0,
    ) -> Outcome:
        """Run until all files have ended, ``duration`` seconds have passed, or ``"stop"`` is commanded.

        Raises WebError: the configuration's ``http`` port cannot be had.
        """
        self._outside.serve(self.config)
        try:
            self._configure(self.config)
            self.notifier.ready()
            cause = self._watch(duration, report, report_every)
            self.notifier.stopping()
            return self._end(cause, report)
        finally:
            self._outside.close()

    def turn(self) -> None:
        """Do once what is to be done again and again. Returns at once."""
        now = self.clock()
        self._links.hear(now)
        self._links.meet(now)
        self._links.beat(now)
        for name in self.coordinator.step(now=now):
            self._links.drop(name)
            self._moves.tell_gone(name, self.coordinator)
        self._begin(now)
        self._learning.look(self.coordinator, self.nodes.alive)
        self._moves.tell(self.coordinator)
        self._head.look(self.nodes.looks, now)
        self.view.update(self.coordinator, now=now, head_up=self._head.up)

    def _watch(
        self,
        duration: float | None,
        report: Callable[[Sequence[CameraStatus], float], None] | None,
        report_every: float,
    ) -> Cause:
        next_report, next_alive = self._began + report_every, self._began
        ends: float | None = None
        while True:
            command = self.commands.get(TURN)
            if command == "stop":
                return "signal"
            if command == "reload":
                self._reload()
            elif command == "renew":
                self._configure(self.config)
            self.turn()
            now = self.clock()
            if ends is None and duration is not None and self.coordinator.begun:
                ends = now + duration
            if self.coordinator.ended.issuperset(self.coordinator.names) and self.coordinator.begun:
                return "finished"
            if ends is not None and now >= ends:
                return "duration"
            if self._head.over:
                return "failed"
            if report is not None and now >= next_report:
                next_report = max(next_report + report_every, now)
                report(self.view.cameras(), now - self._began)
            if now >= next_alive:
                next_alive = now + min(BEAT_EVERY, self.notifier.watchdog_every or BEAT_EVERY)
                self.notifier.alive()

    def _begin(self, now: float) -> None:
        """Have cameras given out once that is safe, and once all nodes are there that are soon to be."""
        if self.coordinator.begun or now < self._began + LEASE_SECONDS + MARGIN:
            return
        there = any(member.report is not None for member in self.coordinator.members.values())
        if there and (not self._links.awaited or now > self._began + GATHER):
            self.coordinator.begun = True

    def _hear(self, node: str, report: Report, happened: Sequence[Happened]) -> None:
        """Take what has happened on a node."""
        self._outside.tell(node, report, happened)
        self._learning.hear(happened)

    def _configure(self, config: Config, *, anew: bool = False) -> None:
        self.config = config
        own, learnt = self._learning.use(config, anew=anew)
        values = own.dump(reveal=True)
        cameras = {entry["name"]: entry for entry in values["cameras"]}
        rest = {"engine": values["engine"], "learning": values["learning"]}
        served = config.http is not None or config.mqtt is not None
        self.coordinator.configure(Wanted(self.file, Path.cwd(), cameras, rest, served, learnt))

    def _reload(self) -> None:
        self.notifier.reloading()
        try:
            config = self.reload()
            self._outside.change(config)
        except ConfigError as error:
            for fault in error.faults:
                self._tell("reload_refused", f"not reloaded: {fault}", level="error")
        except WebError as error:
            self._tell("reload_refused", f"not reloaded: {error}", level="error")
        else:
            self.coordinator.refusals.forget(cameras=self.coordinator.names)
            self._configure(config, anew=True)
            self._tell("reloaded", f"reloaded: {len(config.cameras)} cameras")
        self.notifier.ready()

    def _end(self, cause: Cause, report: Callable[[Sequence[CameraStatus], float], None] | None) -> Outcome:
        """Have every node end its cameras in good order, and go on granting leases until that is done."""
        self._learning.stop()
        last = self._links.drain()
        deadline = self.clock() + DRAIN_WITHIN
        while not all(answer.done() for answer in last.values()) and self.clock() < deadline:
            self.commands.get(TURN)
            now = self.clock()
            self._links.hear(now)
            self._links.beat(now)
        problems = [GONE] if cause == "failed" else []
        files: set[Path] = set()
        for name, answer in last.items():
            error = answer.exception() if answer.done() else TimeoutError("it did not answer in time")
            if error is not None:
                problems.append(f"node {name}: {line_of(error)}")
                continue
            told = answer.result()
            files.update(told.files)
            problems += [f"node {name}: {told.problem}"] if told.problem else []
            self._links.take(name, told, self.clock())
        self.view.update(self.coordinator, now=self.clock())
        cameras = tuple(self.view.cameras())
        if report is not None:
            report(cameras, self.clock() - self._began)
        ended = self._learning.join()
        self._links.close()
        if cause in ("finished", "duration") and not any(camera.pictures for camera in cameras):
            problems.append("no camera delivered a single picture")
        return Outcome(cause, tuple(problems), tuple(sorted(files)), cameras, clean=ended)

    def _tell(self, name: NoticeName, detail: str, *, level: Any = "info") -> None:
        self._bus.publish(Notice(name=name, detail=detail, level=level))
