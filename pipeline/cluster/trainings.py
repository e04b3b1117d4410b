"""Where the cameras' models are trained: on nodes with processors to spare, each training as a task of Ray."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..core.camera_url import redact
from ..learning.camera_learning import LOST, Training
from .ray_nodes import RayNode
from .round_tries import begin_try

# How a training ends whose process was killed for want of memory.
KILLED = -9


class Task(Protocol):
    """A training on a node. No call waits."""

    @property
    def answer(self) -> Future[tuple[int, str]]:
        """How it ended and what it said last. Raises OSError if it could not be started, MemoryError if it was killed
        for want of memory, and anything else if its node is gone.
        """
        ...

    def cancel(self) -> None:
        """Have it end."""
        ...


StartTask = Callable[[RayNode, Path, Path, Sequence[str]], Task]
"""Starts the training of a round (its folder, where relative paths start, arguments) on a node."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node that may train.

    Attributes:
        node: the node.
        spare: processors that its cameras leave.
    """

    node: RayNode
    spare: float


class Trainings:
    """Any thread may call it.

    Args:
        start: starts a training on a node.
        folder: where relative paths start.
    """

    def __init__(self, start: StartTask, folder: Path) -> None:
        self._start = start
        self._folder = folder
        self._lock = threading.Lock()
        self._places: Mapping[str, Place] = {}
        self._threads, self._at_once = 1, 1
        self._running: list[RemoteTraining] = []

    def offer(self, places: Sequence[Place], *, threads: int, at_once: int) -> None:
        """These nodes may train from now on, ``at_once`` rounds each, with so many ``threads`` each."""
        with self._lock:
            self._places = {place.node.name: place for place in places}
            self._threads, self._at_once = threads, at_once

    def has_room(self) -> bool:
        """Whether a node has room for one more."""
        return self._best() is not None

    def begin(self, round_folder: Path, words: Sequence[str]) -> Training:
        """Start the training of a round where most is spare. Raises OSError."""
        node = self._best()
        if node is None:
            return _NOWHERE
        training = RemoteTraining(node, self._start(node, begin_try(round_folder), self._folder, words), self)
        with self._lock:
            self._running.append(training)
        return training

    def has(self, node: RayNode) -> bool:
        """Whether a node is there."""
        place = self._places.get(node.name)
        return place is not None and place.node == node

    def ended(self, training: RemoteTraining) -> None:
        """A training has ended."""
        with self._lock:
            if training in self._running:
                self._running.remove(training)

    def _best(self) -> RayNode | None:
        with self._lock:
            at = [one.node.name for one in self._running]
            spare = {name: one.spare - self._threads * at.count(name) for name, one in self._places.items()}
            fit = [
                name
                for name, left in spare.items()
                if left >= self._threads and at.count(name) < self._at_once
            ]
            return self._places[max(fit, key=lambda name: (spare[name], name))].node if fit else None


class RemoteTraining:
    """See ``Training``: one that runs on a node."""

    def __init__(self, node: RayNode, task: Task, trainings: Trainings) -> None:
        self.node = node
        self._task = task
        self._trainings = trainings
        self._said = ""

    def status(self) -> int | None:
        """See ``Training``."""
        answer = self._task.answer
        if not answer.done():
            if self._trainings.has(self.node):
                return None
            self._task.cancel()  # the node may only be silent, and what it writes does not count any more
            status = LOST
        else:
            status = self._ended(answer)
        self._trainings.ended(self)
        return status

    def last_words(self) -> str:
        """See ``Training``."""
        return self._said

    def stop(self, within: float) -> None:
        """See ``Training``. What it has written by then, the next try begins with."""
        self._task.cancel()
        wait([self._task.answer], within)
        self._trainings.ended(self)

    def _ended(self, answer: Future[tuple[int, str]]) -> int:
        error = answer.exception()
        if error is None:
            status, self._said = answer.result()
            return status
        self._said = redact(f"node {self.node.name}: {error}")
        if isinstance(error, OSError):
            return 1
        return KILLED if isinstance(error, MemoryError) else LOST


class _Nowhere:
    """A training for which no node has room any more."""

    def status(self) -> int | None:
        return LOST

    def last_words(self) -> str:
        return ""

    def stop(self, within: float) -> None:
        pass


_NOWHERE = _Nowhere()
