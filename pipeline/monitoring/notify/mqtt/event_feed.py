"""Events from the spool to a broker, in order, each acknowledged in the spool once the broker has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..message import StoredMessage
from ..spool import Spool

Send = Callable[[StoredMessage], "int | None"]
"""Publishes an event; gives what its acknowledgement will be known by, None where it is left out."""


@dataclass(slots=True)
class _UnderWay:
    number: int
    mid: int | None  # None where nobody waits for an acknowledgement (any more)


class EventFeed:
    """Keeps a few events on their way over one connection. One thread uses it.

    Args:
        spool: where events wait.
        reader: the broker's name there.
        wants: whether an event of a name is sent.
    """

    def __init__(self, spool: Spool, reader: str, wants: Callable[[str], bool]) -> None:
        self._spool = spool
        self._reader = reader
        self._wants = wants
        self._under_way: deque[_UnderWay] = deque()
        self._given = spool.acknowledged(reader)

    @property
    def busy(self) -> int:
        """How many are on their way."""
        return len(self._under_way)

    def send(self, send: Send, most: int) -> bool:
        """Send what waits, until ``most`` are on their way; whether nothing more waits."""
        while len(self._under_way) < most:
            batch = self._spool.after(self._given, most - len(self._under_way))
            if not batch:
                return not self._under_way
            for message in batch:
                mid = send(message) if self._wants(message.event) else None
                self._under_way.append(_UnderWay(message.number, mid))
                self._given = message.number
            self.settle()
        return False

    def acknowledged(self, mid: int) -> int | None:
        """The broker has an event, or does not want it; its number, or None if it was none of these."""
        for one in self._under_way:
            if one.mid == mid:
                one.mid = None
                return one.number
        return None

    def settle(self) -> None:
        """Acknowledge in the spool what the broker has without a gap."""
        done = None
        while self._under_way and self._under_way[0].mid is None:
            done = self._under_way.popleft().number
        if done is not None:
            self._spool.acknowledge(self._reader, done)
