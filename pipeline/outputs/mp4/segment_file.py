"""One MP4 file while it is being written: fragments, so that it plays however the process ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from ...core.frame import Picture
from ...core.sound import SoundPacket
from ..encoding.encoder import GENERATED_COMMENT, NOMINAL_RATE
from ..encoding.shared_encoder import EncodedPicture
from ..module import MP4_SOUNDS
from ..sound import PROMPT, sound_stream
from .fsync_thread import FLUSH_SECONDS, FsyncThread
from .header import DurationField, duration_field

# Seconds of the open file that the end of the process may cost; at most 2 s are allowed.
FRAGMENT_SECONDS = 1.0
# Ticks a second up to which the file counts in the camera's. FFmpeg's muxer takes no picture that lasts 2³¹ ticks,
# which are 2 s if they are nanoseconds; so finer ones become microseconds.
FINEST = 10**7
MICROSECONDS = 10**6

# empty_moov: the file plays from the first fragment on. default_base_moof: each fragment stands by itself, as
# browsers and CMAF want it.
_MOVFLAGS = "empty_moov+default_base_moof+frag_keyframe"


class SegmentFile:
    """An MP4 file that takes the pictures of one stream.

    Its time begins at 0 with the first picture; where that is on the camera's timeline stands in the file's tags
    (``camera_start``). A picture lasts until the next one. The last one lasts until ``close`` says, or as long as the
    others on average. The header tells the length of what is complete.

    Args:
        path: the file, empty so far.
        handle: to write to it; closed with it.
        first: the first picture, which ``write`` is to be given, too.
        wall_time: the first picture's, in Unix seconds.
        seconds: how long the file is going to be.
        interval: seconds that a picture lasts if there is but one; None: unknown.
        generated: whether the file's comment says how to tell generated pictures.
        fsync_thread: puts what was written on the disk.

    Raises OSError or PyAV's errors, and closes the handle then.
    """

    def __init__(
        self,
        path: Path,
        handle: int,
        first: EncodedPicture,
        *,
        wall_time: float,
        seconds: float,
        interval: Fraction | None,
        generated: bool,
        fsync_thread: FsyncThread,
    ) -> None:
        self.path = path
        self._first = self._last = first
        self._ends_at = first.pts + Fraction(seconds) / first.time_base
        self._lone = max(1, round((interval or Fraction(1, NOMINAL_RATE)) / first.time_base))
        self._count = 0
        self._longest = 0
        # The last picture, if the file may end with it: only the next one tells how long it lasts.
        self._held: EncodedPicture | None = None
        self._flushed_at = first.decoded_at
        self._last_lasts: int | None = None  # once no more pictures come
        heard = first.sound_in(MP4_SOUNDS)
        timescale = first.time_base.denominator
        options = {
            "movflags": f"{_MOVFLAGS}+frag_discont" if heard else _MOVFLAGS,
            "frag_duration": str(round(FRAGMENT_SECONDS * 1e6)),
            "video_track_timescale": str(timescale if timescale <= FINEST else MICROSECONDS),
            "avoid_negative_ts": "disabled",
            "use_editlist": "0",
            "flush_packets": "1",
            **PROMPT,
        }
        self._file = _File(path, handle, fsync_thread)
        try:
            self._container: OutputContainer = av.open(
                self._file, "w", format="mp4", container_options=options
            )
            self._container.metadata.update(camera_start(first, wall_time))
            if generated:
                self._container.metadata["comment"] = GENERATED_COMMENT
            self._stream = first.add_stream(self._container)
            self._sound = sound_stream(self._container, heard, origin=first.at, begin=first.at)
        except BaseException:
            self._file.close()
            raise

    @property
    def stays(self) -> bool:
        """Whether there is a picture in it, so that it stays once it is closed."""
        return self._file.has_pictures

    def lasts(self, picture: Picture) -> float:
        """Seconds from the first picture to ``picture``."""
        frame, first = picture.frame, self._first
        return float(frame.pts * frame.time_base - first.pts * first.time_base)

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return encoded.goes_on(self._first, MP4_SOUNDS)

    def write(self, encoded: EncodedPicture) -> None:
        """Write one picture."""
        self._write_held(until=encoded.pts)
        self._longest = max(self._longest, encoded.pts - self._last.pts)
        self._last = encoded
        self._count += 1
        if self._may_be_last:
            self._held = encoded
        else:
            self._mux(encoded, self._mean)
        if encoded.decoded_at - self._flushed_at >= FLUSH_SECONDS:
            self._flushed_at = encoded.decoded_at
            self._file.flush()

    @property
    def has_sound(self) -> bool:
        """Whether it takes sound."""
        return self._sound is not None

    def write_sound(self, packets: Iterable[SoundPacket]) -> None:
        """Write sound, if the file has any; what comes before its first picture is left out."""
        if self._sound is not None:
            self._sound.mux(packets)
            self._complete(self._last.pts)

    def end_pictures(self, *, until: Fraction | None = None) -> None:
        """Write the last picture. It lasts until the camera's time ``until`` (seconds), if that is known."""
        end = None if until is None else round(until / self._first.time_base)
        self._last_lasts = self._write_held(until=end) if self._held is not None else self._mean

    def close(self, *, until: Fraction | None = None) -> None:
        """Complete the file. ``until`` is for ``end_pictures``, which is done first where it was not."""
        try:
            if self._last_lasts is None:
                self.end_pictures(until=until)
            self._container.close()
            self._complete(self._last.pts + (self._last_lasts or 0))
        except BaseException:
            self._file.broken = True
            raise
        finally:
            self._file.close()

    @property
    def _may_be_last(self) -> bool:
        """Whether the file may end with the last picture, and can afford to wait for the next one to tell.

        The next one may come after up to twice the longest time between two so far. What waits is lost in a SIGKILL,
        as is a fragment that is not complete. Together they stay below 2 s.
        """
        slow = self._longest * self._first.time_base > FRAGMENT_SECONDS / 2
        return self._count > 1 and not slow and self._last.pts + 2 * self._longest >= self._ends_at

    @property
    def _mean(self) -> int:
        """Ticks from a picture to the next, on average."""
        if self._count < 2:
            return self._lone
        return max(1, round(Fraction(self._last.pts - self._first.pts, self._count - 1)))

    def _write_held(self, *, until: int | None) -> int:
        """Write the picture that is held, if any. Gives the ticks that it lasts."""
        held, self._held = self._held, None
        if held is None:
            return 0
        lasts = self._mean if until is None else max(1, until - held.pts)
        self._mux(held, lasts)
        return lasts

    def _mux(self, encoded: EncodedPicture, lasts: int) -> None:
        """Give the muxer one picture, with which it writes the pictures before if they are a fragment."""
        self._container.mux_one(encoded.packet(self._stream, origin=self._first.pts, duration=lasts))
        self._complete(encoded.pts)

    def _complete(self, end: int) -> None:
        """What was written is complete, up to the PTS ``end`` if a fragment came to it."""
        self._file.mark_complete(float((end - self._first.pts) * self._first.time_base))

    def abandon(self) -> None:
        """Close the file after a failed write: the complete fragments stay."""
        self._file.broken = True
        try:
            self._container.close()  # frees the muxer; nothing of it reaches the file
        except (OSError, av.error.FFmpegError):
            pass
        finally:
            self._file.close()


class _File:
    """Where FFmpeg's muxer writes to: a file that Python writes, and that can be cut back after a failure.

    PyAV holds the interpreter's lock while FFmpeg opens, completes and closes a file, which on a stalled disk would
    stop every camera. Python gives the lock back while it writes.
    """

    def __init__(self, path: Path, handle: int, fsync_thread: FsyncThread) -> None:
        self._path = path
        self._handle = handle
        self._fsync_thread = fsync_thread
        self._size = 0
        self._complete = 0  # bytes up to the end of the last complete fragment
        self._head = b""  # the header, while it is written
        self._header: int | None = None
        self._duration: DurationField | None = None
        self.broken = False
        """Whether a write failed; what comes after it is thrown away."""

    @property
    def has_pictures(self) -> bool:
        """Whether a complete fragment follows the header."""
        return self._complete > (self._header or 0)

    def write(self, data: bytes) -> int:
        """Write all of ``data``. Raises OSError, the first time."""
        if self._header is None:
            self._head += data
        rest = memoryview(data)
        while rest and not self.broken:
            count = self._try(lambda: os.write(self._handle, rest))  # noqa: B023 - called at once
            self._size += count
            rest = rest[count:]
        return len(data)

    def mark_complete(self, seconds: float) -> None:
        """Note that all that was written so far is complete: the header, and ``seconds`` of fragments after it.

        Raises OSError.
        """
        grew, self._complete = self._size > self._complete, self._size
        if self._header is None:
            if self._size:
                self._header, self._duration = self._size, duration_field(self._head)
                self._head = b""
        elif grew and self._duration is not None and not self.broken:
            field, data = self._duration, self._duration.packed(seconds)
            self._try(lambda: os.pwrite(self._handle, data, field.offset))

    def _try(self, write: Callable[[], int]) -> int:
        try:
            return write()
        except OSError:
            self.broken = True
            raise

    def flush(self) -> None:
        """Have it put on the disk; nothing waits for it. Raises OSError for an earlier flush that failed."""
        self._fsync_thread.flush(self._handle, self._path.parent)

    def close(self) -> None:
        """Close the file. A broken one is cut to what is complete, and one without a picture is removed."""
        try:
            if not self.has_pictures:
                self._path.unlink(missing_ok=True)
            else:
                if self.broken:
                    os.ftruncate(self._handle, self._complete)
                self.flush()
        finally:
            os.close(self._handle)


def camera_start(first: EncodedPicture, wall_time: float) -> dict[str, str]:
    """Tags that tell when a file begins on the camera's timeline, and in UTC.

    ``description`` is JSON: ``camera_pts`` is the first picture's PTS in ticks of ``camera_time_base`` (a fraction of
    a second), and ``wall_time`` is its time in UTC. ``creation_time`` is that, too; MP4 keeps whole seconds of it.
    """
    at = datetime.fromtimestamp(wall_time, timezone.utc).isoformat(timespec="milliseconds")
    utc = at.replace("+00:00", "Z")
    start = {"camera_pts": first.pts, "camera_time_base": str(first.time_base), "wall_time": utc}
    return {"description": json.dumps(start), "creation_time": utc}
