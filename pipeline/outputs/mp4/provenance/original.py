"""What a recording was made from: hashes of the source's encoded packets, before anything decoded them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....core.packet_log import PacketMark
from ....media.packet_digest import packet_digest


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
