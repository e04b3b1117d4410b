"""What happens on a node, numbered, until the coordinator has taken it."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from dataclasses import replace
from pathlib import Path

from ..core.clock import Clock
from ..core.events import Event, Notice
from .journal import Journal
from .messages import Beat, Happened, Report

# Events that wait for the coordinator at the most, where it does not answer; and that go with one report.
MOST_WAITING = 10_000
AT_ONCE = 1_000
# They are of the part that the coordinator gave the node, not of the configuration.
_OF_THE_NODE_ALONE = ("http_listening", "http_lost", "reloaded", "reload_refused")


class Happenings:
    """Any thread may call; no call waits. Where too many wait the oldest go, and their numbers are missing.

    Args:
        clock: time.
        folder: where they are kept until they are taken, so that they outlive this process; None: in memory alone.
        node: what the coordinator calls this node.
    """

    def __init__(self, clock: Clock, *, folder: Path | None = None, node: str = "") -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: deque[Happened] = deque(maxlen=MOST_WAITING)
        self._journal: Journal | None = None
        if folder is not None:
            try:
                self._journal = Journal(folder, node=node, publish=self.note, clock=clock)
            except (OSError, sqlite3.Error) as error:
                lost = f"{folder} of node {node} cannot be used ({error}), so its last events are lost when it dies"
                self.note(Notice(name="events_not_kept", detail=lost, level="warning"))

    def note(self, event: Event) -> None:
        """Something has happened."""
        if getattr(event, "name", None) in _OF_THE_NODE_ALONE:
            return
        at = self._clock.time()
        with self._lock:
            self._number += 1
            happened = Happened(self._number, at, event)
            self._waiting.append(happened)
            if self._journal is not None:
                self._journal.note(happened)

    def taken(self, beat: Beat) -> None:
        """The coordinator has what it says in ``beat``."""
        with self._lock:
            while self._waiting and self._waiting[0].number <= beat.told_to:
                self._waiting.popleft()
        if self._journal is not None:
            self._journal.taken(beat.told_to, beat.late_to)

    def told(self, report: Report) -> Report:
        """``report`` with the oldest of those that wait, in order; they wait until they are ``taken``."""
        with self._lock:
            happened = tuple(self._waiting[at] for at in range(min(AT_ONCE, len(self._waiting))))
        if self._journal is None:
            return replace(report, happened=happened)
        return replace(report, happened=happened, journal=self._journal.id, late=self._journal.late)
