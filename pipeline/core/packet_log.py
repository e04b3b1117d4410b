"""Hashes of a camera's encoded packets, and how far they had been decoded when a frame came out."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

# Packets that a log remembers. Pictures come to a recording within seconds; this is over two minutes at 60 a second.
KEPT = 8192


class PacketLog:
    """The hashes of a camera's newest packets, in the order in which they came. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: deque[bytes] = deque(maxlen=KEPT)
        self._count = 0

    def add(self, digest: bytes | None) -> PacketMark:
        """Note a packet's hash, if it has one. The mark stands for it and for all packets before."""
        with self._lock:
            if digest is not None:
                self._digests.append(digest)
                self._count += 1
            return PacketMark(self, self._count)

    def between(self, after: int, until: int) -> list[bytes] | None:
        """The hashes of packets ``after`` to ``until`` - 1, counted from 0; None if some are forgotten already."""
        with self._lock:
            first = self._count - len(self._digests)
            if after < first:
                return None
            return [self._digests[number - first] for number in range(after, until)]


@dataclass(frozen=True, slots=True, eq=False)
class PacketMark:
    """How far a camera's packets had been decoded: ``count`` packets of ``log``."""

    log: PacketLog
    count: int
