"""Between what happens and the spool: a bounded queue, so that whoever publishes an event never waits for a disk."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from ...core.clock import Clock
from ...core.events import Event, Notice, Publish
from ...core.words import counted
from .message import Message, Origin, message_of
from .spool import Spool

# Events that may wait to be written: some seconds of the busiest cameras, while a disk hangs.
MOST_WAITING = 10_000
# Events written in one transaction.
BATCH = 500
# Seconds until a disk that failed is tried again.
RETRY_AFTER = 5.0


class Outbox(threading.Thread):
    """Writes events to the spool, in the order in which they were given, and tells that there is something new.

    Args:
        spool: where they go.
        told: called after each write, in this thread; must not block.
        publish: told when events begin to be lost, and how many were once there is room again.
        clock: time.
    """

    def __init__(self, spool: Spool, *, told: Callable[[], None], publish: Publish, clock: Clock) -> None:
        super().__init__(name="events", daemon=True)
        self._spool = spool
        self._told = told
        self._publish = publish
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], Message]] = deque()
        self._pushed_out = 0  # events that went to make room for others in the queue
        self._finishing = threading.Event()
        self._losing = False
        self._lost_before = 0
        self.lost = 0
        """Events that were lost since the start, because the queue or the spool was full."""

    def put(
        self,
        event: Event,
        *,
        at: float | None = None,
        node: str | None = None,
        number: int | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Take an event of Unix second ``at``, by default now. Never waits; where too many wait the oldest goes.

        The rest is as in ``message_of``.
        """
        at = self._clock.time() if at is None else at
        self._put(partial(message_of, event, at, node=node, number=number, origin=origin))

    def put_message(self, message: Message) -> None:
        """Take a message that was made elsewhere; see ``put``."""
        self._put(lambda: message)

    def _put(self, make: Callable[[], Message]) -> None:
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._pushed_out += 1
            self._waiting.append(make)
            self._changed.notify()

    def finish(self) -> None:
        """Write what waits, and end. Returns at once; ``join`` waits."""
        with self._changed:
            self._finishing.set()
            self._changed.notify()

    def run(self) -> None:
        """Write until finished."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._finishing.is_set())
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                lost, self._pushed_out = self._pushed_out, 0
                ended = not batch and self._finishing.is_set()
            if batch:
                lost += self._write(batch)
            self._tell_loss(lost)
            self._told()
            if ended:
                return

    def _write(self, batch: list[Callable[[], Message]]) -> int:
        """Write a batch, again and again if the disk fails; how many messages are lost."""
        messages = [make() for make in batch]
        while True:
            try:
                return self._spool.add(messages)
            except sqlite3.Error as error:
                self._begin_loss(f"events cannot be kept in {self._spool.path}: {error}")
            if self._clock.wait(self._finishing, RETRY_AFTER):
                return len(messages)

    def _tell_loss(self, lost: int) -> None:
        if lost:
            self._begin_loss("more events wait to be sent than can be kept; the oldest are lost")
            self.lost += lost
        if self._losing and self._spool.roomy and not self._waiting:
            total, self._losing = self.lost - self._lost_before, False
            detail = (
                f"{counted(total, 'event')} {'was' if total == 1 else 'were'} lost"
                if total
                else "no event was lost"
            )
            self._publish(Notice(name="events_lost", detail=f"{detail}; events are kept again"))

    def _begin_loss(self, detail: str) -> None:
        if not self._losing:
            self._losing, self._lost_before = True, self.lost
            self._publish(Notice(name="events_lost", detail=detail, level="warning"))
