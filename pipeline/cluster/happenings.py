"""What happens on a node, numbered, until the coordinator has taken it."""

from __future__ import annotations

import threading
from collections import deque

from ..core.clock import Clock
from ..core.events import Event
from .messages import Happened

# Events that wait for the coordinator at the most, where it does not answer; and that go with one report.
MOST_WAITING = 10_000
AT_ONCE = 1_000
# They are of the part that the coordinator gave the node, not of the configuration.
_OF_THE_NODE_ALONE = ("http_listening", "http_lost", "reloaded", "reload_refused")


class Happenings:
    """Any thread may call; no call waits. Where too many wait the oldest go, and their numbers are missing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: deque[Happened] = deque(maxlen=MOST_WAITING)

    def note(self, event: Event) -> None:
        """Something has happened."""
        if getattr(event, "name", None) in _OF_THE_NODE_ALONE:
            return
        at = self._clock.time()
        with self._lock:
            self._number += 1
            self._waiting.append(Happened(self._number, at, event))

    def taken(self, number: int) -> None:
        """The coordinator has all up to ``number``."""
        with self._lock:
            while self._waiting and self._waiting[0].number <= number:
                self._waiting.popleft()

    def next(self) -> tuple[Happened, ...]:
        """The oldest of those that wait, in order; they wait until they are ``taken``."""
        with self._lock:
            return tuple(self._waiting[at] for at in range(min(AT_ONCE, len(self._waiting))))
