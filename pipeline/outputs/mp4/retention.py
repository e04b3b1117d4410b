"""How long recordings are kept: the oldest go when they are too old or together too large."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

from ...core.clock import Clock, SystemClock
from ...core.faults import detail_of
from .limits import Limits, retention_fault
from .recordings import Recording, recorded, tidy

log = logging.getLogger(__name__)

DAY = 86_400.0  # seconds
GIGABYTE = 10**9  # bytes, as disks are sold
ROOM = 64 * 10**6  # bytes to make free on a full disk: some 10 s of 4K; of a small one, a twentieth
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Retention:
    """Deletes the oldest recordings of one output, in the thread that writes them and between two files.

    A file's age counts from its last change. What the template could not have written stays, whatever it is, and
    so does what a link leads to. A file that cannot be deleted is passed over, said once until one can be again.

    Args:
        template: the output's strftime template. Raises ValueError if names cannot be read back from it.
        limits: what may stay.
        camera: the camera's name, for the log.
        clock: time.
        space: bytes free, and bytes in all, on the disk a folder is on.
    """

    def __init__(
        self,
        *,
        template: Path,
        limits: Limits,
        camera: str,
        clock: Clock | None = None,
        space: Callable[[Path], tuple[int, int]] | None = None,
    ) -> None:
        fault = retention_fault(template)
        if fault is not None:
            raise ValueError(fault)
        self._template = template
        self._limits = limits
        self._camera = camera
        self._clock = clock or SystemClock()
        self._space = space or _space
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
        self._tell(deleted, "")

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
        self._tell(deleted, "; the disk was full")
        return bool(deleted)

    def _oldest_first(self) -> list[Recording]:
        return sorted(recorded(self._template), key=lambda file: (file.changed, file.name))

    def _has_room(self) -> bool:
        folder = next(level for level in self._template.parents if "%" not in str(level))
        try:
            free, size = self._space(folder)
        except OSError:
            return True  # who knows: one file less will have to do
        return free >= min(ROOM, size // 20)

    def _delete(self, file: Recording) -> bool:
        try:
            file.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            if not self._failing:
                self._failing = True
                log.warning(
                    "%s: cannot delete %s, which retention is to: %s", self._camera, file.path, detail_of(error),
                    extra={"event": "retention_failed", "camera": self._camera},
                )  # fmt: skip
            return False
        self._failing = False
        tidy(file.path, self._template)
        return True

    def _tell(self, deleted: list[Recording], why: str) -> None:
        if deleted:
            files = f"{len(deleted)} file{'s' if len(deleted) > 1 else ''}"
            size = sum(file.size for file in deleted)
            log.info(
                "%s: deleted the oldest %s (%.1f MB) of %s%s",
                self._camera, files, size / 1e6, self._template, why,
                extra={
                    "event": "retention", "camera": self._camera, "files": len(deleted), "bytes": size,
                },
            )  # fmt: skip


def _space(folder: Path) -> tuple[int, int]:
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize
