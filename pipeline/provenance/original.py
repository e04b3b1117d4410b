"""What a recording was made from: hashes of the source's encoded packets, before anything decoded them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.packet_log import PacketMark

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


@dataclass(slots=True)
class Original:
    """The packets that one recording was made from, told by their hashes.

    Args:
        after: how far the recording before had come, from which this one goes on; None without one.
    """

    after: PacketMark | None = None
    packets: int = 0
    complete: bool = True
    _first: bytes = b""
    _whole: Any = field(default_factory=hashlib.sha256)

    def add(self, mark: PacketMark | None) -> None:
        """One picture more, which came out at ``mark``; None if nobody logged the packets."""
        if mark is None:
            self.complete = False
            return
        before = self.after
        if before is None or before.log is not mark.log:
            # Without a recording before, it begins with the packet that its first picture came out at.
            self.complete = self.complete and not self.packets
            begin = max(0, mark.count - 1)
        else:
            begin = before.count
        digests = mark.log.between(begin, mark.count)
        if digests is None and not self.packets:  # nothing was recorded for long
            digests = mark.log.between(max(0, mark.count - 1), mark.count)
        if digests is None:
            self.complete = False
        for digest in digests or []:
            self._first = self._first or digest
            self._whole.update(digest)
            self.packets += 1
        self.after = mark

    def told(self) -> dict[str, Any] | None:
        """As a record has it; None if nothing is known of the packets."""
        if not self.packets:
            return None
        return {
            "packets": self.packets,
            "first": self._first.hex(),
            "sha256": self._whole.hexdigest(),
            "complete": self.complete,
        }


@dataclass(slots=True)
class OriginalFile:
    """The hashes of a file's packets, and where each of them is."""

    path: Path
    digests: list[bytes]
    places: dict[bytes, list[int]]

    @staticmethod
    def read(path: Path) -> OriginalFile:
        """The video of a file. Raises PyAV's errors, and NoVideoError."""
        import av

        from nightday.engines.video.streams import best_video

        digests: list[bytes] = []
        places: dict[bytes, list[int]] = {}
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
            for packet in container.demux(best_video(container)):
                digest = packet_digest(packet)
                if digest is not None:
                    places.setdefault(digest, []).append(len(digests))
                    digests.append(digest)
        return OriginalFile(path, digests, places)

    def holds(self, original: dict[str, Any]) -> bool:
        """Whether all packets of ``original``, as a record has it, are in the file, one after the other."""
        for begin in self._begins(original):
            run = self.digests[begin : begin + original["packets"]]
            whole = hashlib.sha256(b"".join(run)).hexdigest()
            if len(run) == original["packets"] and whole == original["sha256"]:
                return True
        return False

    def begins(self, original: dict[str, Any]) -> bool:
        """Whether the first packet of ``original`` is in the file."""
        return bool(self._begins(original))

    def _begins(self, original: dict[str, Any]) -> list[int]:
        return self.places.get(bytes.fromhex(original["first"]), [])
