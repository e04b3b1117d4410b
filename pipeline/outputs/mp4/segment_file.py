"""One MP4 file while it is being written: fragments, so that it plays however the process ends."""

from __future__ import annotations

import os
from pathlib import Path

import av
from av.container import OutputContainer

from ...core.frame import Picture
from ..encoder import GENERATED_COMMENT
from ..shared_encoder import EncodedPicture
from .fsync_thread import FLUSH_SECONDS, FsyncThread

# Seconds of the open file that the end of the process may cost; at most 2 s are allowed.
FRAGMENT_SECONDS = 1.0

# empty_moov: the file plays from the first fragment on. frag_discont: the first fragment begins at its own PTS rather
# than at 0. default_base_moof: each fragment stands by itself, as browsers and CMAF want it.
_MOVFLAGS = "empty_moov+default_base_moof+frag_keyframe+frag_discont"


class SegmentFile:
    """An MP4 file that takes the pictures of one stream.

    Args:
        path: the file, empty so far.
        handle: to write to it; closed with it.
        first: the first picture, which ``write`` is to be given, too.
        generated: whether the file's comment says how to tell generated pictures.
        fsync_thread: puts what was written on the disk.

    Raises OSError or PyAV's errors, and closes the handle then.
    """

    def __init__(
        self, path: Path, handle: int, first: EncodedPicture, *, generated: bool, fsync_thread: FsyncThread
    ) -> None:
        self.path = path
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
        self._file = _File(path, handle, fsync_thread)
        try:
            self._container: OutputContainer = av.open(
                self._file, "w", format="mp4", container_options=options
            )
            if generated:
                self._container.metadata["comment"] = GENERATED_COMMENT
            self._stream = first.add_stream(self._container)
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
        return encoded.stream == self._first.stream

    def write(self, encoded: EncodedPicture) -> None:
        """Write one picture."""
        self._container.mux_one(encoded.packet(self._stream))
        self._file.mark_complete()
        if encoded.decoded_at - self._flushed_at >= FLUSH_SECONDS:
            self._flushed_at = encoded.decoded_at
            self._file.flush()

    def close(self) -> None:
        """Complete the file."""
        try:
            self._container.close()
            self._file.mark_complete()
        except BaseException:
            self._file.broken = True
            raise
        finally:
            self._file.close()

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
        self._header: int | None = None
        self.broken = False
        """Whether a write failed; what comes after it is thrown away."""

    @property
    def has_pictures(self) -> bool:
        """Whether a complete fragment follows the header."""
        return self._complete > (self._header or 0)

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

    def mark_complete(self) -> None:
        """Note that all that was written so far is complete: the header, and fragments after it."""
        self._complete = self._size
        if self._header is None and self._size:
            self._header = self._size

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
