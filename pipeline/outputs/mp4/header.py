"""The field of an MP4 header that tells the length, and is written anew as the file grows.

FFmpeg leaves it 0 in fragmented files. GStreamer then goes by the index at the end, which tells 9 s of 10, or has no
index, after a SIGKILL, and tells 1 or 2 s of an hour.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_UNKNOWN = 2**32 - 1


@dataclass(frozen=True, slots=True)
class DurationField:
    """Where the length is: 32 bits at ``offset`` of the file, in ``timescale`` ticks a second."""

    offset: int
    timescale: int

    def packed(self, seconds: float) -> bytes:
        """What to write there."""
        return struct.pack(">I", min(round(seconds * self.timescale), _UNKNOWN))


def duration_field(header: bytes) -> DurationField | None:
    """The length in ``header``'s movie header box (ISO/IEC 14496-12, 8.2.2); None if it is none that FFmpeg writes.

    ``header`` begins where the file does.
    """
    at = header.find(b"mvhd")
    # After the name: version 0 and flags, two times, timescale, duration.
    if at < 0 or header[at + 4 : at + 5] != b"\0" or len(header) < at + 24:
        return None
    (timescale,) = struct.unpack_from(">I", header, at + 16)
    return DurationField(at + 20, timescale)
