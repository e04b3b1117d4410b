"""What sends messages to one place, in a thread of its own: a file, a web address, a broker."""

from __future__ import annotations

import random
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ...core.backoff import Backoff
from ...core.camera_url import redact
from ...core.clock import Clock
from ...core.events import Notice, NoticeName, Publish
from .message import StoredMessage
from .spool import Spool

# Messages taken from the spool at once.
BATCH = 100


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What sinks have in common.

    Attributes:
        spool: where messages wait.
        publish: told what happens to them.
        clock: time.
        rng: random numbers, for times between tries.
    """

    spool: Spool
    publish: Publish
    clock: Clock
    rng: random.Random


class SendingFailedError(Exception):
    """Nothing can be sent at present; the message says why, for the user."""


class Sink(threading.Thread, ABC):
    """Sends messages in their order until it is finished or stopped.

    Args:
        reader: its name in the spool, which stays the same over restarts.
        target: what it sends to, for the user, secrets masked.
        events: patterns of the events that are sent, such as ``camera_*``.
        around: what sinks have in common.
    """

    def __init__(self, reader: str, *, target: str, events: Collection[str], around: Surroundings) -> None:
        super().__init__(name=f"notify {reader}", daemon=True)
        self.reader, self.target = reader, target
        self._events = tuple(events)
        self._spool, self._publish = around.spool, around.publish
        self._clock, self._rng = around.clock, around.rng
        self._stopped = threading.Event()
        self._finishing = threading.Event()
        self._failing = False

    @abstractmethod
    def wake(self) -> None:
        """There are new messages, or it is to end. Must not block."""

    def finish(self) -> None:
        """Send what waits as long as that works, then end. Returns at once."""
        self._finishing.set()
        self.wake()

    def stop(self) -> None:
        """End; what waits stays in the spool. Returns at once."""
        self._stopped.set()
        self.finish()

    def wants(self, event: str) -> bool:
        """Whether an event of this name is sent."""
        return any(fnmatchcase(event, pattern) for pattern in self._events)

    def _tell(self, name: NoticeName, detail: str, *, warning: bool = False) -> None:
        text = redact(" ".join(detail.split()))
        self._publish(Notice(name=name, detail=text, level="warning" if warning else "info"))

    def _begin_failing(self, why: str) -> None:
        """Tell once that nothing can be sent."""
        if not self._failing:
            self._failing = True
            self._tell(
                "notify_failed", f"events wait, as {self.target} does not take them: {why}", warning=True
            )

    def _end_failing(self) -> None:
        if self._failing:
            self._failing = False
            self._tell("notify_connected", f"events go to {self.target} again")


class SimpleSink(Sink):
    """A sink that sends one batch after the other, and tries again what failed.

    Args:
        reader, target, events, around: see ``Sink``.
        backoff: the time between tries.
    """

    def __init__(
        self,
        reader: str,
        *,
        target: str,
        events: Collection[str],
        around: Surroundings,
        backoff: Backoff = Backoff(),  # noqa: B008 - a value
    ) -> None:
        super().__init__(reader, target=target, events=events, around=around)
        self._backoff = backoff
        self._news = threading.Event()

    @abstractmethod
    def send(self, messages: list[StoredMessage]) -> int:
        """Send messages, at least one; how many of the first are done with.

        Raises SendingFailedError, which makes it wait and try again.
        """

    def close(self) -> None:
        """The thread ends: let go of what is open."""

    def wake(self) -> None:
        """See ``Sink``."""
        self._news.set()

    def run(self) -> None:
        """Send until finished."""
        try:
            self._run()
        finally:
            self.close()

    def _run(self) -> None:
        attempt = 0
        while not self._stopped.is_set():
            self._news.clear()
            try:
                busy = self._send_next()
            except (SendingFailedError, sqlite3.Error) as error:
                if self._stopped.is_set():
                    return
                self._begin_failing(str(error))
                if self._clock.wait(self._finishing, self._backoff.delay(attempt, self._rng)):
                    return
                attempt += 1
                continue
            if busy:
                attempt = 0
                self._end_failing()
            elif self._finishing.is_set():
                return
            else:
                self._news.wait()

    def _send_next(self) -> bool:
        """Send what waits next; whether there was anything."""
        batch = self._spool.after(self._spool.acknowledged(self.reader), BATCH)
        if batch:
            self._spool.acknowledge(self.reader, self._send(batch))
        return bool(batch)

    def _send(self, batch: list[StoredMessage]) -> int:
        """Send a batch, or the beginning of it; up to which number all is done with."""
        wanted = [message for message in batch if self.wants(message.event)]
        if not wanted:
            return batch[-1].number
        sent = self.send(wanted)
        return batch[-1].number if sent == len(wanted) else wanted[sent - 1].number
