"""The playlist of a live stream in HLS (RFC 8216): what is written, and read again at the next start."""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone

_NUMBER = re.compile(r"#(EXT-X-MEDIA-SEQUENCE|EXT-X-DISCONTINUITY-SEQUENCE):([0-9]{1,15})")
_MAP = re.compile(r'#EXT-X-MAP:URI="([^"/]+)"')
_LENGTH = re.compile(r"#EXTINF:([0-9]{1,6}\.[0-9]{1,6}),")
_TIME = re.compile(r"#EXT-X-PROGRAM-DATE-TIME:([0-9T:.-]{19,26}Z)")
_UNIMPORTANT = re.compile(r"#EXTM3U|#EXT-X-(VERSION|TARGETDURATION|INDEPENDENT-SEGMENTS)\b.*|")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the stream.

    Attributes:
        name: its file, beside the playlist.
        header: the file with what a decoder needs to begin with it.
        seconds: how long it lasts.
        begins: when its first picture was taken, in UTC as the playlist has it.
        breaks: whether time or coding do not go on from the segment before.
    """

    name: str
    header: str
    seconds: float
    begins: str
    breaks: bool


class Playlist:
    """The newest segments of a stream, numbered from its beginning.

    Args:
        number: the first segment's.
        breaks_before: how many breaks there were before it.
    """

    def __init__(self, *, number: int = 0, breaks_before: int = 0) -> None:
        self.number = number
        self.segments: deque[Segment] = deque()
        self._breaks_before = breaks_before

    @property
    def next_number(self) -> int:
        """The number of the next segment."""
        return self.number + len(self.segments)

    def drop_oldest(self) -> Segment:
        """Take out the oldest segment."""
        oldest = self.segments.popleft()
        self.number += 1
        self._breaks_before += oldest.breaks
        return oldest

    def text(self) -> str:
        """The playlist as players read it. It has no end, since more may come, also after a restart."""
        target = max((math.ceil(segment.seconds) for segment in self.segments), default=1)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            f"#EXT-X-TARGETDURATION:{target}",
            f"#EXT-X-MEDIA-SEQUENCE:{self.number}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._breaks_before}",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ]
        header = ""
        for segment in self.segments:
            if segment.breaks:
                lines.append("#EXT-X-DISCONTINUITY")
            if segment.header != header:
                header = segment.header
                lines.append(f'#EXT-X-MAP:URI="{header}"')
            lines += [
                f"#EXT-X-PROGRAM-DATE-TIME:{segment.begins}",
                f"#EXTINF:{segment.seconds:.6f},",
                segment.name,
            ]
        return "\n".join([*lines, ""])

    @staticmethod
    def read(text: str) -> Playlist | None:
        """The playlist that ``text`` is; None if it is none that ``text`` could have written."""
        numbers = {"EXT-X-MEDIA-SEQUENCE": 0, "EXT-X-DISCONTINUITY-SEQUENCE": 0}
        segments: list[Segment] = []
        header, begins, seconds, breaks = "", "", 0.0, False
        for line in text.splitlines():
            if found := _NUMBER.fullmatch(line):
                numbers[found[1]] = int(found[2])
            elif found := _MAP.fullmatch(line):
                header = found[1]
            elif found := _LENGTH.fullmatch(line):
                seconds = float(found[1])
            elif found := _TIME.fullmatch(line):
                begins = found[1]
            elif line == "#EXT-X-DISCONTINUITY":
                breaks = True
            elif line and not line.startswith("#"):
                if not header or not begins or not seconds or "/" in line:
                    return None
                segments.append(Segment(line, header, seconds, begins, breaks))
                begins, seconds, breaks = "", 0.0, False
            elif not _UNIMPORTANT.fullmatch(line):
                return None
        playlist = Playlist(
            number=numbers["EXT-X-MEDIA-SEQUENCE"], breaks_before=numbers["EXT-X-DISCONTINUITY-SEQUENCE"]
        )
        playlist.segments.extend(segments)
        return playlist if text.startswith("#EXTM3U\n") else None


def utc(wall_time: float) -> str:
    """Unix seconds as a playlist has them."""
    at = datetime.fromtimestamp(wall_time, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
