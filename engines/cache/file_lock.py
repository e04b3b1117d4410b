"""A lock between processes and threads, which is released even when its holder is killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, waits: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock ``path``; yields True. Its file may be deleted while it is held.

    If another thread or process holds it, ``waits`` is called and the lock is waited for. Without ``waits`` this
    yields False at once.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waits is None:
                    yield False
                    return
                waits()
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is(handle, path):
                continue  # it was deleted while we waited, and another may hold a new file of that name
            yield True
            return
        finally:
            os.close(handle)


def _is(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
