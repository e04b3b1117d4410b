"""Deleting the oldest recordings, when they are too old or together too large."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from ...core.clock import Clock, SystemClock
from ...core.event_log import to_log
from ...core.events import Notice, Publish
from ...core.faults import detail_of
from .limits import Limits, retention_fault
from .recordings import Recording, recorded, remove_empty_folders

DAY = 86_400.0  # seconds
GIGABYTE = 10**9  # bytes, as disks are sold
# Bytes to make free on a full disk, about 10 s of 4K; on a small disk a twentieth of it instead.
FREE_BYTES = 64 * 10**6
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Retention:
    """Deletes the oldest recordings of one output, in the thread that writes them and between two files.

    A file's age counts from its last change. Files that the template could not have written stay, and so does what
    a link leads to. A file that cannot be deleted is passed over, and reported once until a deletion succeeds again.

    Args:
        template: the output's strftime template. Raises ValueError if names cannot be read back from it.
        limits: what may stay.
        camera: the camera's name, for events.
        publish: told what was deleted, and what could not be.
        clock: time.
        space: bytes free, and bytes in all, on the disk a folder is on.
        forget: told of each recording that was deleted; what belongs to it goes, too.
    """

    def __init__(
        self,
        *,
        template: Path,
        limits: Limits,
        camera: str,
        publish: Publish = to_log,
        clock: Clock | None = None,
        space: Callable[[Path], tuple[int, int]] | None = None,
        forget: Callable[[Path], None] = lambda path: None,
    ) -> None:
        fault = retention_fault(template)
        if fault is not None:
            raise ValueError(fault)
        self._template = template
        self._limits = limits
        self._camera = camera
        self._publish = publish
        self._clock = clock or SystemClock()
        self._space = space or _space
        self._forget = forget
        self._failing = False

    def sweep(self) -> None:
        """Delete what is over the limits, the oldest first; call it while no file is being written."""
        files = self._oldest_first()
        now, total = self._clock.time(), sum(file.size for file in files)
        days, gigabytes = self._limits.days, self._limits.gigabytes

        def surplus(file: Recording) -> bool:
            old = days is not None and now - file.changed > days * DAY
            return old or (gigabytes is not None and total > gigabytes * GIGABYTE)

        deleted: list[Recording] = []
        for file in files:
            if not surplus(file):
                break
            if self._delete(file):
                total -= file.size
                deleted.append(file)
        self._report(deleted, "")

    def make_room(self, error: OSError) -> bool:
        """After ``error``, if it says that the disk is full: delete the oldest until there is room.

        True if something was deleted, so that trying again makes sense.
        """
        if error.errno not in NO_SPACE:
            return False
        deleted: list[Recording] = []
        for file in self._oldest_first():
            if deleted and self._has_room():
                break
            if self._delete(file):
                deleted.append(file)
        self._report(deleted, "; the disk was full")
        return bool(deleted)

    def _oldest_first(self) -> list[Recording]:
        return sorted(recorded(self._template), key=lambda file: (file.changed, file.name))

    def _has_room(self) -> bool:
        folder = next(level for level in self._template.parents if "%" not in str(level))
        try:
            free, size = self._space(folder)
        except OSError:
            return True  # it cannot be known, so deleting one file has to do
        return free >= min(FREE_BYTES, size // 20)

    def _delete(self, file: Recording) -> bool:
        try:
            file.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            if not self._failing:
                self._failing = True
                text = (
                    f"retention cannot delete {file.path}: {detail_of(error)}; the next oldest goes instead"
                )
                notice = Notice(camera=self._camera, name="retention_failed", detail=text, level="warning")
                self._publish(notice)
            return False
        self._failing = False
        self._forget(file.path)
        remove_empty_folders(file.path, self._template)
        return True

    def _report(self, deleted: list[Recording], why: str) -> None:
        if not deleted:
            return
        size = sum(file.size for file in deleted)
        files = f"{len(deleted)} file{'s' if len(deleted) > 1 else ''}"
        text = f"deleted the oldest {files} ({size / 1e6:.1f} MB) of {self._template}{why}"
        self._publish(
            Notice(camera=self._camera, name="retention", detail=text, files=len(deleted), bytes=size)
        )


def _space(folder: Path) -> tuple[int, int]:
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize
