"""A camera's own pictures, kept by day and by night for ``nightday-train``.

They lie in FOLDER/day and FOLDER/night, named by their time in UTC. Time is divided into slots of ``every`` seconds,
and where a folder holds more than ``keep`` pictures, those of every second slot stay and from then on only these
slots have a picture, then every fourth, and so on: those kept spread over the whole time, not over its end. Nothing
but the names is needed to go on after a restart.

Measured on the bundled clips (352×288, two nights and a day): a JPEG of quality 98 with full colour takes 4.4 to 6.8
bits a pixel and is 46.6 to 48.5 dB from the picture, far closer than the camera's own encoder leaves it; a PNG takes
12.8 to 15.9 bits, a JPEG of quality 95 with half the colour 2.7 to 3.9 at 39.7 to 43.8 dB. At 1080p that is at most
1.8 MB a picture.
"""

from __future__ import annotations

import calendar
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels, on_host

from ..core.atomic_file import write_atomically
from ..core.counters import CameraStats
from ..core.frame import Frame
from .night_gate import NightGate
from .scene_change import VIEWS, SceneWatch

log = logging.getLogger(__name__)

PictureKind = Literal["day", "night"]

KINDS: tuple[PictureKind, ...] = ("day", "night")
BEFORE = "before"  # the folder of an earlier view's pictures
ALONE = (
    0.9  # share of the pictures that must be alone in their slots for these to be taken for the ones in use
)
_TIME = "%Y%m%d-%H%M%SZ"
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}Z\.jpg")
_HALF = re.compile(r"\.[0-9]{8}-[0-9]{6}Z\.jpg\..+\.tmp")
_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A picture to be written: uint8 RGB (H, W, 3), and its Unix second."""

    kind: PictureKind
    second: int
    rgb: NDArray[np.uint8]


class TrainingPictures:
    """Picks pictures of one camera and writes them. One thread calls ``offer``, another one ``write``.

    A picture is taken at the beginning of a slot or not at all, so that they do not gather at daybreak. At most one
    waits to be written. When the camera was moved or its pictures have another size, those there are moved to
    FOLDER/before; of two earlier views that with more pictures stays. Files that are not its own stay where they are.

    Args:
        camera: its name.
        folder: where ``day`` and ``night`` are, or will be.
        every: seconds between two pictures, until there are too many.
        keep: most pictures kept of each kind.
        gate: the camera's, or one of its own.
        stats: the camera's counters.
    """

    def __init__(
        self, *, camera: str, folder: Path, every: float, keep: int, gate: NightGate, stats: CameraStats
    ) -> None:
        self.folder = folder
        self._camera = camera
        self._every = every
        self._keep = keep
        self._gate = gate
        self._stats = stats
        self._waiting: _Waiting | None = None
        self._watch: SceneWatch | None = None
        self._shape: tuple[int, ...] | None = None
        self._changed = ""  # why the pictures there are of another view, until they are out of the way
        self._levels: dict[PictureKind, int] = {}  # every 2**level-th slot has a picture
        self._taken: dict[PictureKind, int] = {}
        for kind in KINDS:
            _tidy(folder / kind)
            seconds = self._seconds(folder / kind)
            self._levels[kind] = thin_out(seconds, every=every, keep=keep)[1]
            self._taken[kind] = int(seconds[-1] // every) if seconds else -1

    def offer(self, frame: Frame, seen: Pixels) -> None:
        """Show it a frame as the camera saw it, (H, W, 3). Only one that is taken is copied, to the host."""
        self._gate.decide(frame.video, now=float(frame.pts * frame.time_base))
        kind, second = self._gate.sure, int(frame.wall_time)
        if kind is None or self._waiting is not None:
            return
        slot = int(second // self._every)
        if slot % 2 ** self._levels[kind] or slot == self._taken[kind]:
            return
        self._taken[kind] = slot
        self._waiting = _Waiting(kind, second, np.array(on_host(seen, "collect")))

    def write(self) -> bool:
        """Write the picture that waits, if one does; True if it did. Raises OSError, and the picture is lost."""
        waiting = self._waiting
        if waiting is None:
            return False
        try:
            self._look(waiting)
            if self._changed:
                self._make_way()
            self._write(waiting)
        except Exception:
            self._stats.count_collected("failed")
            raise
        finally:
            self._waiting = None
        self._stats.count_collected(waiting.kind)
        self._thin_out(waiting.kind)
        return True

    def _write(self, picture: _Waiting) -> None:
        encoded, data = cv2.imencode(".jpg", cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2BGR), _JPEG)
        if not encoded:
            raise OSError(f"cannot encode a picture of {picture.rgb.shape} as JPEG")
        path = _path(self.folder / picture.kind, picture.second)
        write_atomically(path, [data.tobytes()], durable=True, mode=0o644)

    def _thin_out(self, kind: PictureKind) -> None:
        folder = self.folder / kind
        seconds = self._seconds(folder)
        kept, level = thin_out(seconds, every=self._every, keep=self._keep)
        for second in set(seconds) - set(kept):
            _path(folder, second).unlink(missing_ok=True)
        self._levels[kind] = level
        if len(kept) < len(seconds):
            log.info(
                "%s: %d %s pictures were more than %d; %d stay, and there is one every %g s from now on",
                self._camera, len(seconds), kind, self._keep, len(kept), self._every * 2**level,
                extra={"event": "collection_thinned", "camera": self._camera},
            )  # fmt: skip

    def _look(self, picture: _Waiting) -> None:
        """Set ``_changed`` if a picture shows another view than those there are."""
        if self._watch is None:
            self._watch = SceneWatch()
            for kind in KINDS:  # it may have been moved while nobody looked
                for second in self._seconds(self.folder / kind)[-VIEWS:]:
                    rgb = _read(_path(self.folder / kind, second))
                    if rgb is not None:
                        self._watch.look(rgb, seconds=float(second))
                        self._shape = rgb.shape
        if self._shape not in (None, picture.rgb.shape):
            self._changed = "the camera's pictures have another size"
            self._watch.forget()
        self._shape = picture.rgb.shape
        if self._watch.look(picture.rgb, seconds=float(picture.second)) == "moved":
            self._changed = "the camera was moved or zoomed"

    def _make_way(self) -> None:
        """Move the pictures there are out of the way."""
        there, before = list(self._all(self.folder)), list(self._all(self.folder / BEFORE))
        where = self.folder / BEFORE
        if len(there) > len(before):
            for kind, second in before:
                _path(where / kind, second).unlink(missing_ok=True)
            for kind, second in there:
                (where / kind).mkdir(parents=True, exist_ok=True)
                os.replace(_path(self.folder / kind, second), _path(where / kind, second))
            went = f"are in {where} now"
        else:
            for kind, second in there:
                _path(self.folder / kind, second).unlink(missing_ok=True)
            went = f"are deleted, those of an earlier view in {where} being more"
        if there:
            log.warning(
                "%s: %s: the %d pictures collected before %s, and collecting begins anew",
                self._camera, self._changed, len(there), went,
                extra={"event": "collection_restarted", "camera": self._camera},
            )  # fmt: skip
        self._changed = ""
        self._levels = dict.fromkeys(KINDS, 0)

    def _all(self, folder: Path) -> Iterator[tuple[PictureKind, int]]:
        for kind in KINDS:
            for second in self._seconds(folder / kind):
                yield kind, second

    def _seconds(self, folder: Path) -> list[int]:
        """Unix seconds of the pictures in a folder, rising; of one that cannot be read, none."""
        try:
            names = os.listdir(folder)
        except OSError:
            return []
        return sorted(second for name in names if (second := _second(name)) is not None)


def thin_out(seconds: Sequence[int], *, every: float, keep: int) -> tuple[list[int], int]:
    """Which pictures stay so that there are at most ``keep``, and the level they are at.

    Args:
        seconds: Unix seconds of the pictures, rising.
        every: seconds of a slot.
        keep: most that may stay.

    Returns:
        Those that stay, rising, and the level: every 2**level-th slot is to have a picture. It is told from the
        pictures themselves where they are more than a quarter of ``keep``, since fewer were never thinned out.
    """
    kept, level = list(seconds), 0
    if len(kept) > keep // 4:
        while len(_first(kept, every * 2 ** (level + 1))) >= ALONE * len(kept) > 1:
            level += 1
    while len(kept) > keep:
        level += 1
        on_time = [second for second in kept if int(second // every) % 2**level == 0]
        # Where the program runs at odd minutes only, say, hardly one is.
        kept = on_time if len(on_time) > keep // 4 else _first(kept, every * 2**level)
    return kept, level


def _first(seconds: Sequence[int], slot: float) -> list[int]:
    """The first second in each slot of so many seconds."""
    firsts: dict[int, int] = {}
    for second in seconds:
        firsts.setdefault(int(second // slot), second)
    return list(firsts.values())


def _path(folder: Path, second: int) -> Path:
    return folder / f"{time.strftime(_TIME, time.gmtime(second))}.jpg"


def _second(name: str) -> int | None:
    """The Unix second in a picture's name; None for a name of another kind."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return calendar.timegm(time.strptime(name, f"{_TIME}.jpg"))
    except ValueError:
        return None


def _tidy(folder: Path) -> None:
    """Remove what a program that was killed had half written."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if _HALF.fullmatch(name):
                (folder / name).unlink()


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        data = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if data is None else np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB))
