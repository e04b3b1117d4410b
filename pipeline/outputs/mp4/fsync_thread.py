"""Getting recordings onto the disk itself, so that a power cut costs seconds of them and not files."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

FLUSH_SECONDS = (
    5.0  # between two flushes of a file; the kernel alone may take 30 s, or leave a file of no bytes
)

# What file systems answer that cannot be asked for it: then the kernel's own time has to do.
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class FsyncThread:
    """Flushes files in a thread of its own while there is something to flush; whoever asks never waits.

    An SD card may take seconds, of which an output at 25 fps has 0.16. At most one file waits: on a disk slower than
    it is asked, a newer request takes the place of an older.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: tuple[int, Path] | None = None  # a handle of our own, and the folder the file is in
        self._working = False
        self._error: OSError | None = None

    def flush(self, handle: int, folder: Path) -> None:
        """Have what was written to ``handle`` put on the disk, and the file's name in ``folder``; returns at once.

        ``handle`` may be closed afterwards. Raises what went wrong the last time, as OSError.
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
    with suppress(OSError):  # a folder that was tidied away, or that cannot be opened
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
