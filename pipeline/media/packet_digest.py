"""Hashes of encoded packets, which stay the same when a stream is copied into another container."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

_START = re.compile(b"\x00\x00\x01")
# First of the bytes that describe a stream whose NAL units have their lengths before them (ISO/IEC 14496-15).
_WITH_LENGTHS = 1


def packet_digest(packet: av.Packet[VideoStream]) -> bytes | None:
    """SHA-256 of what a packet holds of a picture; None if it holds nothing of one.

    Of H.264 and H.265 these are the NAL units of coded slices, one after the other, without start codes or lengths.
    So a copy in another container has the same, though parameter sets, delimiters and messages come and go between
    containers. Of other codecs it is the whole packet.
    """
    data = bytes(packet)
    context = packet.stream.codec_context
    if context.name not in ("h264", "hevc"):
        return hashlib.sha256(data).digest() if data else None
    slices = [
        unit for unit in _units(data, context.extradata or b"", context.name) if _is_slice(unit, context.name)
    ]
    return hashlib.sha256(b"".join(slices)).digest() if slices else None


def _units(data: bytes, extradata: bytes, codec: str) -> Iterator[bytes]:
    """The NAL units of a packet, without zeros at their end."""
    where = 4 if codec == "h264" else 21
    if len(extradata) > where and extradata[0] == _WITH_LENGTHS:
        size, at = (extradata[where] & 3) + 1, 0
        while at + size < len(data):
            begin = at + size
            at = begin + int.from_bytes(data[at:begin], "big")
            yield data[begin:at].rstrip(b"\x00")
        return
    ends = [*(found.start() for found in _START.finditer(data)), len(data)]
    for begin, end in pairwise(ends):
        yield data[begin + 3 : end].rstrip(b"\x00")


def _is_slice(unit: bytes, codec: str) -> bool:
    if not unit:
        return False
    return 1 <= unit[0] & 31 <= 5 if codec == "h264" else unit[0] >> 1 & 63 <= 31
