"""Files that are never seen half-written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_atomically(
    path: Path, parts: Iterable[bytes], *, durable: bool = False, mode: int | None = None
) -> None:
    """Write ``parts`` to ``path``, whose folder is made if missing. Raises OSError.

    Who reads the file sees the old one or the new one, whole.

    Args:
        path: the file.
        parts: its bytes, one part after the other.
        durable: whether it, and its name, are on the disk when this returns, lest a power cut leaves it empty.
        mode: who may read it; by default its owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        with suppress(OSError):  # not every file system can be asked for it
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
