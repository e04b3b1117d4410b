"""Writing files so that nobody sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_atomically(
    path: Path, parts: Iterable[bytes], *, durable: bool = False, mode: int | None = None
) -> None:
    """Write ``parts`` to ``path``; its folder is made if missing. Raises OSError.

    A reader sees the whole old file or the whole new file, never a part of one.

    Args:
        path: the file.
        parts: its bytes, one part after the other.
        durable: whether the file and its name are on the disk when this returns, so that it survives a power cut.
        mode: the file's permissions; by default only its owner may read it.
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
        with suppress(OSError):  # not every file system can sync a folder
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
