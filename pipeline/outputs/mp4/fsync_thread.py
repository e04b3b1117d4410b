"""Putting recordings on the disk itself, so that a power cut costs seconds of them and not whole files."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

# Seconds between two flushes of a file. The kernel alone may take 30 s, or leave an empty file.
FLUSH_SECONDS = 5.0

# What file systems answer that do not support it; the kernel then decides when.
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class FsyncThread:
    """Flushes files in a thread of its own while there is something to flush; the caller never waits.

    An SD card may take seconds, while an output at 25 fps can wait for 0.16 s. At most one file is waiting: if the
    disk is slower than the requests, a newer one replaces the older.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: tuple[int, Path] | None = None  # a copy of the handle, and the file's folder
        self._working = False
        self._error: OSError | None = None

    def flush(self, handle: int, folder: Path) -> None:
        """Have what was written to ``handle`` put on the disk, and the file's name in ``folder``; returns at once.

        ``handle`` may be closed afterwards. Raises the OSError of an earlier flush that failed.
        """
        copy = os.dup(handle)
        with self._lock:
            replaced, self._next = self._next, (copy, folder)
            start, self._working = not self._working, True
            error, self._error = self._error, None
        if replaced is not None:
            os.close(replaced[0])
        if start:
            threading.Thread(target=self._work, name="flush", daemon=True).start()
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            with self._lock:
                due, self._next = self._next, None
                if due is None:
                    self._working = False
                    return
            try:
                _flush(*due)
            except OSError as error:
                if error.errno not in _CANNOT:
                    with self._lock:
                        self._error = error


def _flush(handle: int, folder: Path) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    with suppress(OSError):  # the folder was removed, or cannot be opened
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
