"""A camera's own pictures, kept by day and by night for ``nightday-train``.

They are in FOLDER/day and FOLDER/night, named by their time in UTC. Time is divided into slots of ``every``
seconds. When a folder holds more than ``keep`` pictures, only those of every second slot stay, and from then on
only these slots get a picture; later every fourth slot, and so on. So the pictures are spread over the whole time.
After a restart their names are enough to go on.

They are JPEGs of quality 98 with full colour: close to the camera's picture (46 dB and more) at a third of a PNG's
size, at most 1.8 MB at 1080p. See "Scene" in benchmarks/NOTES.md.
"""

from __future__ import annotations

import calendar
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels, on_host

from ..core.atomic_file import write_atomically
from ..core.counters import CameraStats
from ..core.event_log import to_log
from ..core.events import Notice, Publish
from ..core.frame import Frame
from .night_gate import TIMES_OF_DAY, NightGate, TimeOfDay
from .scene_change import VIEWS, SceneWatch

# The folder of an earlier view's pictures.
BEFORE = "before"
# Slots count as those in use if at least this share of the pictures is alone in its slot.
ALONE = 0.9
_TIME = "%Y%m%d-%H%M%SZ"
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}Z\.jpg")
# The temporary file of a picture that was being written.
_UNFINISHED = re.compile(r"\.[0-9]{8}-[0-9]{6}Z\.jpg\..+\.tmp")
_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 98)
_FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A picture to be written: uint8 RGB (H, W, 3), and its Unix second."""

    time: TimeOfDay
    second: int
    rgb: NDArray[np.uint8]


class TrainingPictures:
    """Picks pictures of one camera and writes them. One thread calls ``offer``, another one ``write``.

    A slot's picture is the first of the slot, and at most one picture waits to be written. When the camera was
    moved, or its pictures have another size, the pictures so far are moved to FOLDER/before. If there are pictures
    of an earlier view already, the view with more pictures stays. Other files in the folders are left alone.

    Args:
        camera: its name.
        folder: where ``day`` and ``night`` are, or will be.
        every: seconds between two pictures, until there are too many.
        keep: most pictures kept by day, and by night.
        fixed: whether the camera keeps its position; else pictures of any view stay together.
        gate: tells day from night: the camera's gate, or one of its own.
        stats: the camera's counters.
        publish: told when pictures are deleted or moved; must not block.
    """

    def __init__(
        self,
        *,
        camera: str,
        folder: Path,
        every: float,
        keep: int,
        fixed: bool = True,
        gate: NightGate,
        stats: CameraStats,
        publish: Publish = to_log,
    ) -> None:
        self.folder = folder
        self._camera = camera
        self._every = every
        self._keep = keep
        self._fixed = fixed
        self._gate = gate
        self._stats = stats
        self._publish = publish
        self._waiting: _Waiting | None = None
        self._watch: SceneWatch | None = None
        self._shape: tuple[int, ...] | None = None
        # Why the pictures there are of another view, until they have been moved away; else "".
        self._changed = ""
        self._levels: dict[TimeOfDay, int] = {}  # every 2**level-th slot has a picture
        self._last_slots: dict[TimeOfDay, int] = {}
        for time_of_day in TIMES_OF_DAY:
            _delete_unfinished(folder / time_of_day)
            seconds = picture_seconds(folder / time_of_day)
            self._levels[time_of_day] = select_evenly(seconds, every=every, keep=keep)[1]
            self._last_slots[time_of_day] = int(seconds[-1] // every) if seconds else -1

    def offer(self, frame: Frame, seen: Pixels) -> None:
        """Show it a frame as the camera saw it, (H, W, 3). Only a frame that is taken is copied to the host."""
        self._gate.decide(frame.video, now=float(frame.pts * frame.time_base), time=frame.wall_time)
        time_of_day, second = self._gate.sure, int(frame.wall_time)
        if time_of_day is None or self._waiting is not None:
            return
        slot = int(second // self._every)
        if slot % 2 ** self._levels[time_of_day] or slot == self._last_slots[time_of_day]:
            return
        self._last_slots[time_of_day] = slot
        self._waiting = _Waiting(time_of_day, second, np.array(on_host(seen, "collect")))

    def write(self) -> bool:
        """Write the picture that waits; False if none does. Raises OSError, and the picture is lost."""
        waiting = self._waiting
        if waiting is None:
            return False
        try:
            self._compare(waiting)
            if self._changed:
                self._move_away()
            self._write(waiting)
        except Exception:
            self._stats.count_collected("failed")
            raise
        finally:
            self._waiting = None
        self._stats.count_collected(waiting.time)
        self._delete_surplus(waiting.time)
        return True

    def _write(self, picture: _Waiting) -> None:
        bgr = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2BGR)
        encoded, data = cv2.imencode(".jpg", bgr, (*_QUALITY, *_FULL_COLOUR))
        if not encoded:
            raise OSError(f"cannot encode a picture of {picture.rgb.shape} as JPEG")
        path = picture_path(self.folder / picture.time, picture.second)
        write_atomically(path, [data.tobytes()], durable=True, mode=0o644)

    def _delete_surplus(self, time_of_day: TimeOfDay) -> None:
        folder = self.folder / time_of_day
        seconds = picture_seconds(folder)
        kept, level = select_evenly(seconds, every=self._every, keep=self._keep)
        for second in set(seconds) - set(kept):
            picture_path(folder, second).unlink(missing_ok=True)
        self._levels[time_of_day] = level
        if len(kept) < len(seconds):
            detail = (
                f"{len(seconds)} {time_of_day} pictures were more than {self._keep}; {len(kept)} stay, "
                f"and there is one every {self._every * 2**level:g} s from now on"
            )
            self._publish(Notice(camera=self._camera, name="collection_thinned", detail=detail))

    def _compare(self, picture: _Waiting) -> None:
        """Set ``_changed`` if a picture shows another view than those there are."""
        if self._watch is None:
            self._watch = SceneWatch()
            # The camera may have been moved while the program did not run.
            for time_of_day in TIMES_OF_DAY:
                for second in picture_seconds(self.folder / time_of_day)[-VIEWS:]:
                    rgb = _read(picture_path(self.folder / time_of_day, second))
                    if rgb is not None:
                        self._watch.look(rgb, seconds=float(second))
                        self._shape = rgb.shape
        if self._shape not in (None, picture.rgb.shape):
            self._changed = "the camera's pictures have another size"
            self._watch.reset()
        self._shape = picture.rgb.shape
        if self._fixed and self._watch.look(picture.rgb, seconds=float(picture.second)) == "moved":
            self._changed = "the camera was moved or zoomed"

    def _move_away(self) -> None:
        """Move the pictures of the view so far to FOLDER/before, or delete them if the view before has more."""
        before = self.folder / BEFORE
        pictures, earlier = _pictures(self.folder), _pictures(before)
        if len(pictures) > len(earlier):
            for time_of_day, second in earlier:
                picture_path(before / time_of_day, second).unlink(missing_ok=True)
            for time_of_day, second in pictures:
                (before / time_of_day).mkdir(parents=True, exist_ok=True)
                os.replace(
                    picture_path(self.folder / time_of_day, second),
                    picture_path(before / time_of_day, second),
                )
            fate = f"are in {before} now"
        else:
            for time_of_day, second in pictures:
                picture_path(self.folder / time_of_day, second).unlink(missing_ok=True)
            fate = f"are deleted, those of an earlier view in {before} being more"
        if pictures:
            detail = (
                f"{self._changed}: the {len(pictures)} pictures collected before {fate}, "
                "and collecting begins anew"
            )
            notice = Notice(camera=self._camera, name="collection_restarted", detail=detail, level="warning")
            self._publish(notice)
        self._changed = ""
        self._levels = dict.fromkeys(TIMES_OF_DAY, 0)


def newest_pictures(folder: Path, count: int) -> list[NDArray[np.uint8]]:
    """The newest ``count`` pictures that were collected in a ``day`` or ``night``, (H, W, 3) RGB each."""
    read = (_read(picture_path(folder, second)) for second in picture_seconds(folder)[-count:])
    return [rgb for rgb in read if rgb is not None]


def _pictures(folder: Path) -> list[tuple[TimeOfDay, int]]:
    """All pictures below a folder: time of day and Unix second."""
    return [
        (time_of_day, second)
        for time_of_day in TIMES_OF_DAY
        for second in picture_seconds(folder / time_of_day)
    ]


def picture_seconds(folder: Path) -> list[int]:
    """Unix seconds of the pictures in a ``day`` or ``night``, rising; empty if it cannot be read."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(second for name in names if (second := _second(name)) is not None)


def select_evenly(seconds: Sequence[int], *, every: float, keep: int) -> tuple[list[int], int]:
    """Which pictures stay so that there are at most ``keep``, and the level they are at.

    Args:
        seconds: Unix seconds of the pictures, rising.
        every: seconds of a slot.
        keep: most that may stay.

    Returns:
        Those that stay, rising, and the level: every 2**level-th slot is to have a picture. The level is found from
        the pictures if they are more than a quarter of ``keep``; if there are fewer, none has been deleted yet.
    """
    kept, level = list(seconds), 0
    if len(kept) > keep // 4:
        while len(_first(kept, every * 2 ** (level + 1))) >= ALONE * len(kept) > 1:
            level += 1
    while len(kept) > keep:
        level += 1
        on_time = [second for second in kept if int(second // every) % 2**level == 0]
        # Hardly one may be, for instance where the program runs at odd minutes only.
        kept = on_time if len(on_time) > keep // 4 else _first(kept, every * 2**level)
    return kept, level


def _first(seconds: Sequence[int], slot: float) -> list[int]:
    """The first second in each slot of so many seconds."""
    firsts: dict[int, int] = {}
    for second in seconds:
        firsts.setdefault(int(second // slot), second)
    return list(firsts.values())


def picture_path(folder: Path, second: int) -> Path:
    """Where the picture of a Unix second is in a ``day`` or ``night``."""
    return folder / f"{time.strftime(_TIME, time.gmtime(second))}.jpg"


def _second(name: str) -> int | None:
    """The Unix second in a picture's name; None for the name of another file."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return calendar.timegm(time.strptime(name, f"{_TIME}.jpg"))
    except ValueError:
        return None


def _delete_unfinished(folder: Path) -> None:
    """Delete the temporary files of a program that was killed while it wrote."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if _UNFINISHED.fullmatch(name):
                (folder / name).unlink()


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        data = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if data is None else np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB))
