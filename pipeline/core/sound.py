"""A camera's sound: packets as they came, on the timeline of its pictures, which pass beside these."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

# What is kept for encoders that are behind: about 10 s of most codecs. The oldest goes first.
MOST_PACKETS = 500
MOST_BYTES = 4 * 2**20
# Seconds of pictures without any sound after which it counts as silent.
SILENT_AFTER = 5


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """How a camera's sound is coded.

    Attributes:
        codec: FFmpeg's name, such as ``aac``.
        rate: samples a second.
        layout: the channels.
        setup: what a decoder has to know beforehand.
        description: the format as the beginning of a file of ``description_form``; empty where that cannot hold it,
            so that nothing here can pass it on.
        channels: how many.
    """

    codec: str
    rate: int
    layout: str
    setup: bytes
    description: bytes = field(compare=False, repr=False)
    channels: int = 1

    @property
    def description_form(self) -> str:
        """FFmpeg's name of the kind of file whose beginning describes it."""
        return description_form(self.codec)


def description_form(codec: str) -> str:
    """FFmpeg's name of the kind of file that describes sound of a codec: PyAV writes no PCM into Matroska."""
    return "wav" if codec.startswith("pcm_") else "matroska"


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """One packet of sound.

    Attributes:
        at: when it is heard, in seconds on the camera's timeline.
        lasts: seconds; 0 where that is not known.
    """

    format: SoundFormat
    data: bytes = field(repr=False)
    at: Fraction
    lasts: Fraction


class SoundTrack:
    """The newest sound of a camera, for all its encoders. Any thread may call it, and nobody waits.

    Args:
        told: called with each format that comes, in the thread that reads the camera.
    """

    def __init__(self, told: Callable[[SoundFormat], None] = lambda _: None) -> None:
        self._told = told
        self._lock = threading.Lock()
        self._packets: deque[SoundPacket] = deque()
        self._bytes = 0
        self._gone = 0  # packets that are no longer kept
        self._last: Fraction | None = None
        self.format: SoundFormat | None = None
        """That of the newest sound; None before any."""

    @property
    def passed(self) -> SoundFormat | None:
        """The present format, if it is one that can be passed on."""
        return self.format if self.format is not None and self.format.description else None

    def tell(self, form: SoundFormat) -> None:
        """Sound of this format comes from now on."""
        if form != self.format:
            self.format = form
            self._told(form)

    def put(self, packet: SoundPacket) -> bool:
        """Add one packet; False if it does not come after the last one, and is left out."""
        with self._lock:
            if self._last is not None and packet.at <= self._last:
                return False
            self._last = packet.at
            self._packets.append(packet)
            self._bytes += len(packet.data)
            while len(self._packets) > MOST_PACKETS or self._bytes > MOST_BYTES:
                self._bytes -= len(self._packets.popleft().data)
                self._gone += 1
        return True

    def since(self, number: int, until: Fraction) -> tuple[tuple[SoundPacket, ...], int]:
        """The packets from the one with ``number`` on that are heard by ``until``, and the number of the next."""
        with self._lock:
            start = max(number, self._gone)
            found: list[SoundPacket] = []
            for index in range(start - self._gone, len(self._packets)):
                if self._packets[index].at > until:
                    break
                found.append(self._packets[index])
        return tuple(found), start + len(found)


class SoundReader:
    """Takes a track's sound along with pictures."""

    def __init__(self, track: SoundTrack) -> None:
        self._track = track
        self._next = 0
        self._newest: Fraction | None = None  # when the last sound was heard, or could have been
        self.silent = False
        """Whether nothing was heard for ``SILENT_AFTER`` seconds of pictures, though there was sound before."""

    @property
    def format(self) -> SoundFormat | None:
        """That of sound which can be passed on; None without any."""
        return self._track.passed

    def until(self, at: Fraction) -> tuple[SoundPacket, ...]:
        """What was not taken yet and is heard by ``at``, in order."""
        packets, self._next = self._track.since(self._next, at)
        if packets:
            self._newest = packets[-1].at
        elif self._newest is None and self.format is not None:
            self._newest = at
        self.silent = self._newest is not None and at - self._newest > SILENT_AFTER
        return packets

    def heard_by(self, at: Fraction) -> tuple[tuple[SoundPacket, ...], tuple[SoundFormat | None, bool]]:
        """As ``until``, with the format and whether it is ``silent``."""
        packets = self.until(at)
        return packets, (self.format, self.silent)


UNHEARD: tuple[tuple[SoundPacket, ...], tuple[SoundFormat | None, bool]] = (), (None, False)
"""What is heard of a camera without sound; see ``SoundReader.heard_by``."""
