"""Recording: fragmented MP4 segments that keep the frames' times and play however the process ended."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.event_log import to_log
from ...core.events import FileBegun, FileFinished, Publish
from ...core.frame import Picture
from ..encoding.shared_encoder import EncodedPicture, EncoderClient, SharedEncoder
from .fsync_thread import FsyncThread
from .provenance.facts import Facts
from .retention import Retention
from .segment_file import SegmentFile

# Seconds without a picture after which the file is completed, if the last three frames were shorter than that. A
# camera's pictures may come in pieces of several seconds.
IDLE_SECONDS = 5.0
# Seconds that the end of an output waits for its last file to be signed.
SIGNING_SECONDS = 3.0
# Seconds that a file whose pictures are complete stays open for sound, which may come later than its pictures.
LATE_SOUND = 1
# Files of one name and second until something must be wrong.
SUFFIXES = 10_000


if TYPE_CHECKING:
    from .provenance.ledger import Ledger


class SegmentWriter:
    """Writes pictures into MP4 files of ``segment_seconds`` each, named by the wall time of their first frame.

    Where the camera's sound goes along, a file takes that from its first picture to the next file's, and stays open
    for ``LATE_SOUND`` seconds for what comes late.

    A new file begins at a key frame when the time is up, when the size or time base changes, and after ``close``. Its
    time begins at 0; where that is on the camera's timeline stands in the file (see ``camera_start``). PTS keep their
    distances exactly; where the time base is not a unit fraction, they count in ticks of its denominator, and where
    that is above ``FINEST``, in microseconds. A picture lasts until the next one, from file to file too, unless a
    pause lies between. Fragments of at most ``FRAGMENT_SECONDS`` go to the operating system as they are complete, and
    from there to the disk every ``FLUSH_SECONDS`` and with the end of the file, for which nothing here waits. No file
    is ever written over: a taken name gets ``-1``, ``-2`` … before its ending. In a cluster the epoch stands before
    that (``-e7``). Folders are made as needed.

    Raises OSError or PyAV's errors from ``write``; the file at hand is then given up and cut to its
    complete fragments (and removed if there are none), and the next write begins another.

    Args:
        template: strftime template of the path, in local time, ending in ``.mp4``.
        segment_seconds: length of a file.
        generated: whether generated pictures may be among them; the file's comment then says how to tell.
        encoder: the camera's, shared with its other outputs; without one it encodes for itself.
        retention: deletes old files, at the start, after each that is complete, and where the disk is full.
        ledger: signs each file that is closed and stays.
        camera: the camera's name, for events.
        publish: told of each file that is begun, and of each that is closed and stays.
        epoch: that of the camera's lease; None outside clusters.
    """

    def __init__(
        self,
        *,
        template: str,
        segment_seconds: float = 60.0,
        generated: bool = True,
        encoder: SharedEncoder | None = None,
        retention: Retention | None = None,
        ledger: Ledger | None = None,
        camera: str = "",
        publish: Publish = to_log,
        epoch: int | None = None,
    ) -> None:
        self._template = template
        self._seconds = segment_seconds
        self._generated = generated
        self._encoder = EncoderClient(encoder or SharedEncoder())
        self._retention = retention
        self._ledger = ledger
        self._facts = Facts()
        self._camera = camera
        self._publish = publish
        self._epoch = epoch
        self._swept = False
        self._fsync_thread = FsyncThread()
        self._file: SegmentFile | None = None
        self._before: _Before | None = None
        self._idle_after = IDLE_SECONDS
        self._last: Fraction | None = None  # seconds

    def write(self, picture: Picture) -> None:
        """Write one picture, into a new file if it is time for one.

        Raises PictureSkipped before its first key frame.
        """
        try:
            self._write(picture)
        except OSError as error:
            if self._retention is None or not self._retention.make_room(error):
                raise
            self._write(picture)

    def idle(self, seconds: float) -> None:
        """Told now and then that no picture has come for ``seconds``: complete the file if the pause may be long.

        Otherwise the last pictures before a camera went away would be lost with the process. A camera that sends
        one every ten seconds still gets whole files.
        """
        self._sweep_first()
        if seconds >= self._idle_after:
            self.close()

    def close(self) -> None:
        """Complete the file at hand, if any."""
        try:
            self._close_before()
        finally:
            self._close(until=None)
        if self._ledger is not None:
            self._ledger.finish(SIGNING_SECONDS)

    def _close(self, *, until: Fraction | None) -> None:
        """Complete the file at hand, if any. Its last picture lasts until the camera's time ``until``, if known."""
        file, self._file = self._file, None
        if file is not None:
            self._complete(file, self._facts, until=until)

    def _complete(self, file: SegmentFile, facts: Facts, *, until: Fraction | None = None) -> None:
        try:
            file.close(until=until)
        finally:
            self._report_end(file, facts)
        if self._retention is not None:
            self._retention.sweep()

    def _cut(self, now: Fraction, *, until: Fraction | None) -> None:
        """Complete the file at hand, or have it wait for its sound; another begins at the camera's time ``now``."""
        self._close_before()
        file = self._file
        if file is None or not file.has_sound:
            self._close(until=until)
            return
        self._file = None
        self._before = _Before(file, self._facts, now)
        file.end_pictures(until=until)

    def _close_before(self) -> None:
        """Complete the file before, if it is still open for its sound."""
        before, self._before = self._before, None
        if before is not None:
            self._complete(before.file, before.facts)

    def _write_sound(self, file: SegmentFile, encoded: EncodedPicture) -> None:
        """Write the sound that came with a picture of ``file``, in which the file before may have a part."""
        before = self._before
        if before is not None:
            before.file.write_sound(one for one in encoded.sound if one.at < before.ends)
            if encoded.at >= before.ends + LATE_SOUND:
                self._close_before()
        file.write_sound(encoded.sound)

    def _write(self, picture: Picture) -> None:
        self._sweep_first()
        now = picture.frame.pts * picture.frame.time_base
        interval = self._interval(now)
        due = self._file is not None and self._file.lasts(picture) >= self._seconds
        encoded = self._encoder.encode(picture, key=due, begins=self._file is None)
        if self._file is not None and ((due and encoded.key) or not self._file.accepts(encoded)):
            self._cut(now, until=None if interval is None else now)
        if self._file is None:
            path, handle = _reserve(_path_at(self._template, picture.frame.wall_time, self._epoch))
            self._file = SegmentFile(
                path,
                handle,
                encoded,
                wall_time=picture.frame.wall_time,
                seconds=self._seconds,
                interval=interval,
                generated=self._generated,
                fsync_thread=self._fsync_thread,
            )
            self._facts = self._facts.following()
            self._publish(FileBegun(camera=self._camera, path=path))
        try:
            self._write_sound(self._file, encoded)
            self._file.write(encoded)
        except BaseException:
            file, self._file = self._file, None
            try:
                file.abandon()
            finally:
                self._report_end(file, self._facts)
            raise
        self._facts.add(picture, generated=picture.translated and self._generated)

    def _interval(self, now: Fraction) -> Fraction | None:
        """Seconds since the picture before; None if there is none, after a pause, and when time went back."""
        last, self._last = self._last, now
        if last is None:
            return None
        passed, pause = now - last, self._idle_after
        self._idle_after = max(IDLE_SECONDS, 3 * float(passed))
        return passed if 0 < passed <= pause else None

    def _report_end(self, file: SegmentFile, facts: Facts) -> None:
        if file.stays:
            self._publish(FileFinished(camera=self._camera, path=file.path))
            if self._ledger is not None:
                self._ledger.sign(file.path, facts)

    def _sweep_first(self) -> None:
        if self._retention is not None and not self._swept:
            self._swept = True
            self._retention.sweep()


@dataclass(frozen=True, slots=True, eq=False)
class _Before:
    """The file before, whose pictures are complete: it takes the sound before the camera's time ``ends``."""

    file: SegmentFile
    facts: Facts
    ends: Fraction


def _path_at(template: str, wall_time: float, epoch: int | None) -> Path:
    path = Path(time.strftime(template, time.localtime(wall_time)))
    return path if epoch is None else path.with_stem(f"{path.stem}-e{epoch}")


def _reserve(path: Path) -> tuple[Path, int]:
    """Make an empty file at ``path`` or the first free name after it, and its folders. The handle is to write to."""
    for number in range(SUFFIXES):
        candidate = path.with_stem(f"{path.stem}-{number}") if number else path
        # Each time, since another output's retention may remove an empty folder in between.
        candidate.parent.mkdir(parents=True, exist_ok=True)
        try:
            return candidate, os.open(candidate, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            continue
    raise FileExistsError(f"{path} and {SUFFIXES - 1} names after it are taken")
