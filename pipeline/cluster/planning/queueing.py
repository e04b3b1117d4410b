"""A machine, simulated: threads that share its processors, and the interpreter's lock.

Threads share the processors evenly, as an operating system's do: with n that want to run on c processors, each gets
c/n of one, or a whole one if n ≤ c. What holds the interpreter's lock runs one thread at a time, first come first
served. This knows no camera; ``simulation`` runs the program's threads on it.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Generator
from typing import Literal, NamedTuple


class Wait(NamedTuple):
    """What a thread does next.

    Attributes:
        kind: ``compute`` on a processor, the same under the interpreter's lock (``locked``), ``sleep``, sleep
            ``until`` a moment, or ``rest`` until it is woken.
        value: seconds, or the moment.
        width: how many processors it computes on at once.
    """

    kind: Literal["compute", "locked", "sleep", "until", "rest"]
    value: float = 0.0
    width: float = 1.0


Thread = Generator[Wait, None, None]


class Machine:
    """Runs simulated threads. Time is virtual, in seconds from 0.

    Args:
        processors: how many there are.
    """

    def __init__(self, processors: float) -> None:
        self.now = 0.0
        self.used = 0.0
        """Seconds of processor time used so far."""
        self._processors = processors
        self._order = itertools.count()
        self._sleeping: list[tuple[float, int, Thread]] = []
        # Of threads that compute: the service, in seconds a processor, at which each is done, and its width.
        self._computing: list[tuple[float, int, Thread, float]] = []
        self._width = 0.0
        self._service = 0.0
        self._lock_holder: Thread | None = None
        self._lock_queue: deque[tuple[Thread, float]] = deque()

    def wake(self, thread: Thread) -> None:
        """Have a thread begin, or go on from its rest."""
        heapq.heappush(self._sleeping, (self.now, next(self._order), thread))

    def run(self, until: float) -> None:
        """Go on until a moment."""
        while True:
            rate = min(1.0, self._processors / self._width) if self._width else 1.0
            computed = (
                self.now + (self._computing[0][0] - self._service) / rate if self._computing else float("inf")
            )
            woken = self._sleeping[0][0] if self._sleeping else float("inf")
            at = min(computed, woken)
            if at > until:
                self._pass(until - self.now, rate)
                return
            self._pass(max(0.0, at - self.now), rate)
            if woken <= computed:
                _, _, thread = heapq.heappop(self._sleeping)
            else:
                self._service, _, thread, width = heapq.heappop(self._computing)
                self._width -= width
                if self._lock_holder is thread:
                    self._release()
            self._resume(thread)

    def _pass(self, seconds: float, rate: float) -> None:
        self.now += seconds
        self._service += seconds * rate
        self.used += seconds * rate * self._width

    def _resume(self, thread: Thread) -> None:
        try:
            kind, value, width = next(thread)
        except StopIteration:
            return
        if kind == "compute":
            self._compute(thread, value, width)
        elif kind == "locked":
            self._lock_queue.append((thread, value))
            if self._lock_holder is None:
                self._release()
        elif kind != "rest":
            at = max(self.now, value) if kind == "until" else self.now + value
            heapq.heappush(self._sleeping, (at, next(self._order), thread))

    def _compute(self, thread: Thread, seconds: float, width: float = 1.0) -> None:
        if not self._computing:  # sums that grow for ever lose their last digits
            self._service = self._width = 0.0
        self._width += width
        heapq.heappush(self._computing, (self._service + seconds, next(self._order), thread, width))

    def _release(self) -> None:
        """Give the lock to the next that wants it."""
        self._lock_holder = None
        if self._lock_queue:
            self._lock_holder, seconds = self._lock_queue.popleft()
            self._compute(self._lock_holder, seconds)
