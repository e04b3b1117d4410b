"""Writing HLS to a folder: segments of a few seconds, and the playlist that names the newest."""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from pathlib import Path

from ...core.atomic_file import write_atomically
from ...core.event_log import to_log
from ...core.events import FileBegun, FileFinished, Publish
from ...core.frame import Picture
from ...core.sound import SoundPacket
from ..encoding.encoder import NOMINAL_RATE, title_of
from ..encoding.shared_encoder import EncodedPicture, EncoderClient
from ..module import HLS_SOUNDS
from ..mp4.retention import NO_SPACE
from .playlist import Playlist, Segment, utc
from .segment import segment_of

# Seconds of a segment; it ends at the next key frame, for which it asks.
SEGMENT_SECONDS = 2.0
# Seconds without a picture after which a segment is completed, if the last pictures were closer than a third of it.
IDLE_SECONDS = 5.0
# Whoever runs the web server reads them.
_READABLE = 0o644


class HlsWriter:
    """Writes pictures as segments of fragmented MP4 and a playlist, which is replaced as a whole.

    Segments begin with a key frame, keep the pictures' distances and tell their time of day. The playlist names those
    of the last ``window`` seconds; a segment's file stays for as long again, for players that are behind, and is
    deleted then. After a pause, with another size, and after a restart, which takes up the playlist that is there,
    the stream goes on with a discontinuity. No name is used twice.

    Raises OSError or PyAV's errors from ``write``; what is named in the playlist stays. Where the disk is full, half
    of what is kept goes, and the segment is written once more.

    Args:
        playlist: its path; the segments go beside it.
        window: seconds that the playlist names.
        generated: whether generated pictures may be among them; the header's comment then says how to tell.
        encoder: this output's use of the camera's encoder.
        camera: the camera's name, for events.
        publish: told of the playlist when it is begun and closed.
    """

    def __init__(
        self,
        *,
        playlist: Path,
        window: float,
        generated: bool,
        encoder: EncoderClient,
        camera: str = "",
        publish: Publish = to_log,
    ) -> None:
        self._path = playlist
        self._window = window
        self._title = title_of(generated=generated)
        self._encoder = encoder
        self._camera = camera
        self._publish = publish
        self._list: Playlist | None = None
        self._unlisted: deque[Segment] = deque()  # no longer named, but still there
        self._pictures: list[EncodedPicture] = []
        self._sound: list[SoundPacket] = []
        self._begins = 0.0
        self._origin: int | None = None  # PTS at which the stream's time began; None: the next begins it
        self._header = ""
        self._idle_after = IDLE_SECONDS

    def write(self, picture: Picture) -> None:
        """Take one picture, and write a segment if it completes one. Raises PictureSkipped before a key frame."""
        held = self._pictures
        seconds = float((picture.frame.pts - held[0].pts) * held[0].time_base) if held else 0.0
        encoded = self._encoder.encode(picture, key=seconds >= SEGMENT_SECONDS, begins=not held)
        self._sound += encoded.sound
        if held and not encoded.goes_on(held[0], HLS_SOUNDS):
            self._end_stream()
        elif held and encoded.key and seconds >= SEGMENT_SECONDS:
            self._write_segment(until=encoded.pts)
        if not self._pictures:
            self._begins = picture.frame.wall_time
            if self._origin is None:
                self._origin = encoded.pts
        else:
            since = float((encoded.pts - self._pictures[-1].pts) * encoded.time_base)
            self._idle_after = max(IDLE_SECONDS, 3 * since)
        self._pictures.append(encoded)

    def idle(self, seconds: float) -> None:
        """Told now and then that no picture has come for ``seconds``; a long pause completes the segment."""
        if seconds >= self._idle_after:
            self._end_stream()

    def close(self) -> None:
        """Complete the segment at hand, if any. The playlist stays open for what comes after a restart."""
        begun = bool(self._pictures) or self._origin is not None
        self._end_stream()
        if begun and self._list is not None and self._list.segments:
            self._publish(FileFinished(camera=self._camera, path=self._path))

    def _end_stream(self) -> None:
        """Complete the segment at hand; what comes next does not go on from it."""
        held = self._pictures
        try:
            if held:
                spans = max(1, len(held) - 1)
                mean = (held[-1].pts - held[0].pts) // spans or round(1 / (NOMINAL_RATE * held[0].time_base))
                self._write_segment(until=held[-1].pts + max(1, mean))
        finally:
            self._origin, self._header = None, ""
            self._sound.clear()

    def _write_segment(self, *, until: int) -> None:
        """Write the pictures at hand as a segment, and the playlist with it."""
        held, self._pictures = self._pictures, []
        # What is heard later belongs to the next one; what came late is in this one, and tells its time.
        end = until * held[0].time_base
        sound = [one for one in self._sound if one.at < end]
        self._sound = [one for one in self._sound if one.at >= end]
        origin = held[0].pts if self._origin is None else self._origin
        listed = self._opened()
        number = listed.next_number
        header, fragment = segment_of(
            held, sound, until=until, origin=origin, number=number, title=self._title
        )
        begun = not self._header
        segment = Segment(
            name=f"{self._path.stem}-{number:06d}.m4s",
            header=self._header or f"{self._path.stem}-{number:06d}-header.mp4",
            seconds=float((until - held[0].pts) * held[0].time_base),
            begins=utc(self._begins),
            breaks=begun and number > 0,
        )
        try:
            self._write_files(segment, header if begun else None, fragment)
        except OSError as error:
            if error.errno not in NO_SPACE or not self._make_room():
                raise
            self._write_files(segment, header if begun else None, fragment)
        self._header = segment.header
        listed.segments.append(segment)
        self._leave_out_old()
        write_atomically(self._path, [listed.text().encode()], mode=_READABLE)
        self._delete_old()

    def _write_files(self, segment: Segment, header: bytes | None, fragment: bytes) -> None:
        folder = self._path.parent
        if header is not None:
            write_atomically(folder / segment.header, [header], mode=_READABLE)
        write_atomically(folder / segment.name, [fragment], mode=_READABLE)

    def _opened(self) -> Playlist:
        """The playlist, taken up from the folder the first time; what it does not name of ours is deleted."""
        if self._list is not None:
            return self._list
        self._path.parent.mkdir(parents=True, exist_ok=True)
        ours = re.compile(rf"{re.escape(self._path.stem)}-([0-9]{{6,15}})(\.m4s|-header\.mp4)")
        there = {
            path: int(found[1])
            for path in self._path.parent.iterdir()
            if (found := ours.fullmatch(path.name))
        }
        try:
            before = Playlist.read(self._path.read_text())
        except (OSError, ValueError):
            before = None
        names = {path.name for path in there}
        if before is not None and not all({one.name, one.header} <= names for one in before.segments):
            before = None
        if before is None:
            before = Playlist(number=max(there.values(), default=-1) + 1)
        named = {name for one in before.segments for name in (one.name, one.header)}
        for path in there:
            if path.name not in named:
                path.unlink(missing_ok=True)
        self._list = before
        self._publish(FileBegun(camera=self._camera, path=self._path))
        return before

    def _leave_out_old(self) -> None:
        """Take out of the playlist what lies before its window. The newest three stay, which players start with."""
        listed = self._opened()
        total = sum(segment.seconds for segment in listed.segments)
        while len(listed.segments) > 3 and total - listed.segments[0].seconds >= self._window:
            total -= listed.segments[0].seconds
            self._unlisted.append(listed.drop_oldest())

    def _delete_old(self) -> None:
        """Delete what left the playlist longer ago than the playlist lasts."""
        total = sum(segment.seconds for segment in self._unlisted)
        while self._unlisted and total > self._window:
            total -= self._unlisted[0].seconds
            self._delete(self._unlisted.popleft())

    def _make_room(self) -> bool:
        """Delete what the playlist does not name, and the older half of what it does. True if anything went."""
        listed = self._opened()
        for _ in range(len(listed.segments) // 2):
            self._unlisted.append(listed.drop_oldest())
        if not self._unlisted:
            return False
        # Players must not be sent to what is gone. A full disk may have no room for it: then they find it gone.
        with suppress(OSError):
            write_atomically(self._path, [listed.text().encode()], mode=_READABLE)
        while self._unlisted:
            self._delete(self._unlisted.popleft())
        return True

    def _delete(self, segment: Segment) -> None:
        """Delete a segment, and its header with the last that needs it. What cannot be deleted stays."""
        still = {one.header for one in (*self._unlisted, *self._opened().segments)} | {self._header}
        with suppress(OSError):
            (self._path.parent / segment.name).unlink()
        if segment.header not in still:
            with suppress(OSError):
                (self._path.parent / segment.header).unlink()
