"""The field of an MP4 header that tells the length, and is written anew as the file grows.

FFmpeg leaves it 0 in fragmented files. GStreamer then goes by the index at the end, which tells 9 s of 10, or has no
index, after a SIGKILL, and tells 1 s of an hour.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DurationField:
    """Where the length is: at ``offset`` of the file in ``timescale`` ticks a second, packed as struct's ``form``."""

    offset: int
    timescale: int
    form: str

    def packed(self, seconds: float) -> bytes:
        """What to write there."""
        most = 256 ** struct.calcsize(self.form) - 1  # says "unknown"
        return struct.pack(self.form, min(round(seconds * self.timescale), most))


def duration_field(header: bytes) -> DurationField | None:
    """The length in ``header``'s movie header box (ISO/IEC 14496-12, 8.2.2); None if there is none.

    ``header`` begins where the file does.
    """
    at = header.find(b"mvhd")
    # After the name: version, flags, two times, timescale, duration. In version 1 times and duration have 64 bits.
    if at < 4 or len(header) < at + 36:
        return None
    form, scale_at = (">Q", at + 24) if header[at + 4] == 1 else (">I", at + 16)
    (timescale,) = struct.unpack_from(">I", header, scale_at)
    return DurationField(scale_at + 4, timescale, form)
