"""Packets that a playlist still holds though they were read before it was opened anew."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

# Packets that are remembered: more than the three pieces that FFmpeg begins with, of 10 s at 60 pictures a second.
REMEMBERED = 2048
# MPEG-TS counts in 33 bits, and FFmpeg goes on from there within one connection alone.
_WRAPS = 2**33

_Mark: TypeAlias = tuple[int | None, int]


class Repeats:
    """Tells which packets of a connection came by an earlier one, for as long as a camera's reader lives.

    A playlist of HLS keeps its last pieces. Who opens it anew is given them once more; and of one that does not grow
    any more, each time. They are no new pictures, and must not make a camera that is gone look as if it played.
    """

    def __init__(self) -> None:
        self._seen: deque[_Mark] = deque(maxlen=REMEMBERED)
        self._before: frozenset[_Mark] = frozenset()

    def begin(self) -> None:
        """Another connection begins."""
        self._before = frozenset(self._seen)

    def see(self, packet: av.Packet[VideoStream]) -> bool:
        """Whether a packet, the connection's next, is a repetition. The first that is none ends them."""
        ticks = packet.dts if packet.dts is not None else packet.pts
        mark = None if ticks is None else ticks % _WRAPS, hash(bytes(packet))
        if mark in self._before:
            return True
        self._before = frozenset()
        self._seen.append(mark)
        return False
