"""Recording: fragmented MP4 segments that keep the frames' PTS and play however the process ended."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from ...core.frame import Picture
from ..encoder import NOTE, Coded, Feed, SharedEncoder, add_video
from .fsync_thread import FLUSH_SECONDS, FsyncThread
from .retention import Retention

FRAGMENT_SECONDS = 1.0  # what the end of the process may cost of the open segment; at most 2 s are allowed
IDLE_SECONDS = 2.0  # without a picture for so long, and for 3 of the last steps: the file is completed
SUFFIXES = 10_000  # files of one name and second until something must be wrong

# empty_moov: playable from the first fragment on. frag_discont: the first fragment begins at its own PTS
# rather than at 0. default_base_moof: each fragment stands by itself, as browsers and CMAF want it.
_MOVFLAGS = "empty_moov+default_base_moof+frag_keyframe+frag_discont"


class SegmentWriter:
    """Writes pictures into MP4 files of ``segment_seconds`` each, named by the wall time of their first frame.

    A new file begins at a key frame when the time is up, when the size or time base changes, and after
    ``close``. PTS in the files equal the frames' own, second file and reconnects included; where the time base is
    not a unit fraction, in ticks of its denominator. Fragments of at most ``FRAGMENT_SECONDS`` go to the
    operating system as they are complete, and from there to the disk every ``FLUSH_SECONDS`` and with the end of
    the file, for which nothing here waits. No file is ever written over: a taken name gets ``-1``, ``-2`` … before
    its ending. Folders are made as needed.

    Raises OSError or PyAV's errors from ``write``; the file at hand is then given up, cut to what was
    written whole (and removed if that is nothing), and the next write begins another.

    Args:
        template: strftime template of the path, in local time, ending in ``.mp4``.
        segment_seconds: length of a file.
        generated: whether generated pictures may be among them; the file's comment then says how to tell.
        encoder: the camera's, shared with its other outputs; without one it encodes for itself.
        retention: deletes old files, at the start, after each that is complete, and where the disk is full.
    """

    def __init__(
        self,
        *,
        template: str,
        segment_seconds: float = 60.0,
        generated: bool = True,
        encoder: SharedEncoder | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._template = template
        self._seconds = segment_seconds
        self._generated = generated
        self._feed = Feed(encoder or SharedEncoder())
        self._retention = retention
        self._swept = False
        self._flusher = FsyncThread()
        self._open: _Segment | None = None
        self._idle_after = IDLE_SECONDS
        self._last: Fraction | None = None  # seconds

    def write(self, picture: Picture) -> None:
        """Write one picture, into a new file if it is time for one. Raises LeftOut before its first key frame."""
        try:
            self._write(picture)
        except OSError as error:
            if self._retention is None or not self._retention.make_room(error):
                raise
            self._write(picture)

    def idle(self, seconds: float) -> None:
        """Told now and then that no picture has come for ``seconds``: complete the file, for who knows how long.

        Else the last pictures before a camera went away would be lost with the process. A camera that sends
        one every ten seconds still gets whole files.
        """
        self._sweep_first()
        if seconds >= self._idle_after:
            self.close()

    def close(self) -> None:
        """Complete the file at hand, if any."""
        segment, self._open = self._open, None
        if segment is not None:
            segment.close()
            if self._retention is not None:
                self._retention.sweep()

    def _write(self, picture: Picture) -> None:
        self._sweep_first()
        now = picture.frame.pts * picture.frame.time_base
        if self._last is not None:
            self._idle_after = max(IDLE_SECONDS, 3 * float(now - self._last))
        self._last = now
        due = self._open is not None and self._open.lasts(picture) >= self._seconds
        coded = self._feed.encode(picture, key=due, begins=self._open is None)
        if self._open is not None and ((due and coded.key) or not self._open.takes(coded)):
            self.close()
        if self._open is None:
            path, handle = _reserve(_path_at(self._template, picture.frame.wall_time))
            self._open = _Segment(path, handle, coded, generated=self._generated, flusher=self._flusher)
        try:
            self._open.write(coded)
        except BaseException:
            segment, self._open = self._open, None
            segment.abandon()
            raise

    def _sweep_first(self) -> None:
        if self._retention is not None and not self._swept:
            self._swept = True
            self._retention.sweep()


class _Segment:
    """One file being written."""

    def __init__(
        self, path: Path, handle: int, first: Coded, *, generated: bool, flusher: FsyncThread
    ) -> None:
        self._first = first
        self._flushed_at = first.decoded_at
        options = {
            "movflags": _MOVFLAGS,
            "frag_duration": str(round(FRAGMENT_SECONDS * 1e6)),
            "video_track_timescale": str(first.time_base.denominator),
            "avoid_negative_ts": "disabled",
            "use_editlist": "0",
            "flush_packets": "1",
        }
        self._file = _File(path, handle, flusher)
        try:
            self._container: OutputContainer = av.open(
                self._file, "w", format="mp4", container_options=options
            )
            if generated:
                self._container.metadata["comment"] = NOTE
            self._stream = add_video(self._container, first)
        except BaseException:
            self._file.close()
            raise

    def lasts(self, picture: Picture) -> float:
        """Seconds from the first picture to ``picture``."""
        frame, first = picture.frame, self._first
        return float(frame.pts * frame.time_base - first.pts * first.time_base)

    def takes(self, coded: Coded) -> bool:
        """Whether ``coded`` goes on with what the first picture began."""
        return coded.stream == self._first.stream

    def write(self, coded: Coded) -> None:
        """Write one picture."""
        self._container.mux_one(coded.packet(self._stream))
        self._file.settle()
        if coded.decoded_at - self._flushed_at >= FLUSH_SECONDS:
            self._flushed_at = coded.decoded_at
            self._file.flush()

    def close(self) -> None:
        """Complete the file."""
        try:
            self._container.close()
            self._file.settle()
        except BaseException:
            self._file.broken = True
            raise
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file after a failed write: what was written whole stays."""
        self._file.broken = True
        try:
            self._container.close()  # frees the muxer; nothing of it reaches the file
        except (OSError, av.error.FFmpegError):
            pass
        finally:
            self._file.close()


class _File:
    """Where FFmpeg's muxer writes to: a file that Python writes, and that can be cut back after a failure.

    PyAV keeps the interpreter to itself while FFmpeg opens, completes and closes a file, which on a stalled
    disk would stop every camera. Python gives it free while it writes.
    """

    def __init__(self, path: Path, handle: int, flusher: FsyncThread) -> None:
        self._path = path
        self._handle = handle
        self._flusher = flusher
        self._size = 0
        self._whole = 0  # bytes up to the end of the last whole fragment
        self._header: int | None = None
        self.broken = False
        """Whether a write failed; the rest then goes nowhere."""

    def write(self, data: bytes) -> int:
        """Write all of ``data``. Raises OSError, the first time."""
        rest = memoryview(data)
        while rest and not self.broken:
            try:
                count = os.write(self._handle, rest)
            except OSError:
                self.broken = True
                raise
            self._size += count
            rest = rest[count:]
        return len(data)

    def settle(self) -> None:
        """Say that all that was written so far is whole: the header, and fragments after it."""
        self._whole = self._size
        if self._header is None and self._size:
            self._header = self._size

    def flush(self) -> None:
        """Have it put on the disk, for which nobody waits. Raises OSError for what was to be before."""
        self._flusher.flush(self._handle, self._path.parent)

    def close(self) -> None:
        """Close the file; a broken one is cut to what is whole, and one without a picture removed."""
        try:
            if self._whole <= (self._header or 0):
                self._path.unlink(missing_ok=True)
            else:
                if self.broken:
                    os.ftruncate(self._handle, self._whole)
                self.flush()
        finally:
            os.close(self._handle)


def _path_at(template: str, wall_time: float) -> Path:
    return Path(time.strftime(template, time.localtime(wall_time)))


def _reserve(path: Path) -> tuple[Path, int]:
    """Make an empty file at ``path`` or the first free name after it, and its folders. The handle is to write to."""
    for number in range(SUFFIXES):
        candidate = path.with_stem(f"{path.stem}-{number}") if number else path
        candidate.parent.mkdir(
            parents=True, exist_ok=True
        )  # each time: another output's sweep may tidy it away
        try:
            return candidate, os.open(candidate, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            continue
    raise FileExistsError(f"{path} and {SUFFIXES - 1} names after it are taken")
