"""Recording: fragmented MP4 segments that keep the frames' PTS and survive a power cut."""

from __future__ import annotations

import os
import time
from pathlib import Path

import av
from av.container import OutputContainer

from pipeline.encode import NOTE, Encoder, even_size
from pipeline.frame import Picture

FRAGMENT_SECONDS = 1.0  # what a power cut may cost of the open segment; at most 2 s are allowed
SUFFIXES = 10_000  # files of one name and second until something must be wrong

# empty_moov: playable from the first fragment on. frag_discont: the first fragment begins at its own PTS
# rather than at 0. default_base_moof: each fragment stands by itself, as browsers and CMAF want it.
_MOVFLAGS = "empty_moov+default_base_moof+frag_keyframe+frag_discont"


class SegmentWriter:
    """Writes pictures into MP4 files of ``segment_seconds`` each, named by the wall time of their first frame.

    A new file begins at a key frame when the time is up, when the size or time base changes, and after
    ``close``. PTS in the files equal the frames' own, second file and reconnects included; where the time base is
    not a unit fraction, in ticks of its denominator. Fragments of at most ``FRAGMENT_SECONDS`` go to the
    operating system as they are complete. No file is ever written over: a taken name gets ``-1``, ``-2`` … before
    its ending. Folders are made as needed.

    Raises OSError or PyAV's errors from ``write``; the file at hand is then given up and the next write begins
    another.

    Args:
        template: strftime template of the path, in local time, ending in ``.mp4``.
        segment_seconds: length of a file.
        generated: whether generated pictures may be among them; the file's comment then says how to tell.
        preset: x264's.
    """

    def __init__(
        self,
        *,
        template: str,
        segment_seconds: float = 60.0,
        generated: bool = True,
        preset: str = "veryfast",
    ) -> None:
        self._template = template
        self._seconds = segment_seconds
        self._generated = generated
        self._preset = preset
        self._open: _Segment | None = None

    def write(self, picture: Picture) -> None:
        """Write one picture, into a new file if it is time for one."""
        if self._open is not None and not self._open.takes(picture, self._seconds):
            self.close()
        if self._open is None:
            path = _reserve(_path_at(self._template, picture.frame.wall_time))
            try:
                self._open = _Segment(path, picture, self._preset, generated=self._generated)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        self._open.encoder.write(picture)

    def close(self) -> None:
        """Complete the file at hand, if any."""
        segment, self._open = self._open, None
        if segment is not None:
            segment.close()


class _Segment:
    """One file being written."""

    def __init__(self, path: Path, picture: Picture, preset: str, *, generated: bool) -> None:
        self._time_base = picture.frame.time_base
        self._first_pts = picture.frame.pts
        self._shape = picture.rgb.shape
        options = {
            "movflags": _MOVFLAGS,
            "frag_duration": str(round(FRAGMENT_SECONDS * 1e6)),
            "video_track_timescale": str(self._time_base.denominator),
            "avoid_negative_ts": "disabled",
            "use_editlist": "0",
            "flush_packets": "1",
        }
        even_size(picture)
        self._path = path
        self._container: OutputContainer = av.open(
            f"file:{path}", "w", format="mp4", container_options=options
        )
        if generated:
            self._container.metadata["comment"] = NOTE
        self.encoder = Encoder(self._container, picture, preset=preset)

    def takes(self, picture: Picture, seconds: float) -> bool:
        """Whether ``picture`` belongs into this file."""
        frame = picture.frame
        return (
            picture.rgb.shape == self._shape
            and frame.time_base == self._time_base
            and (frame.pts - self._first_pts) * self._time_base < seconds
        )

    def close(self) -> None:
        """Complete the file; one that nothing was written to goes away."""
        try:
            self._container.close()
        finally:
            if self._path.exists() and not self._path.stat().st_size:
                self._path.unlink()


def _path_at(template: str, wall_time: float) -> Path:
    return Path(time.strftime(template, time.localtime(wall_time)))


def _reserve(path: Path) -> Path:
    """Make an empty file at ``path`` or the first free name after it, and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(SUFFIXES):
        candidate = path.with_stem(f"{path.stem}-{number}") if number else path
        try:
            os.close(os.open(candidate, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            continue
        return candidate
    raise FileExistsError(f"{path} and {SUFFIXES - 1} names after it are taken")
