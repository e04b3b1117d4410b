"""Compiled engines on disk: each is built once, all together are bounded, and a damaged one is never loaded."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .cache_entry import CacheEntry, EngineKey, fault_of, read_entry, touch, write_manifest
from .file_lock import locked
from .previous_release import previous_key

__all__ = ["CacheEntry", "EngineCache", "EngineKey", "default_folder"]

log = logging.getLogger(__name__)

# What all entries may take together. An engine has some megabytes, or a hundred on a large GPU.
MAX_BYTES = 8 * 2**30

# With fewer free bytes than these a disk counts as full.
NO_ROOM = 2**20

Say = Callable[[str], None]


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/nightday-stream/engines``, by default below ``~/.cache``."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(chosen) if chosen.startswith("/") else Path.home() / ".cache"
    except RuntimeError:  # an account without a home
        base = Path(tempfile.gettempdir(), f"nightday-stream-{os.geteuid()}")
    return base / "nightday-stream" / "engines"


class EngineCache:
    """Folders ``<digest of the key>/`` with an engine's files and a manifest, written last, that holds their hashes.

    Where the cache's folder cannot be used (it is read-only, full or another user's), a warning is logged and engines
    are built into a folder that is deleted when the process ends.

    Args:
        folder: by default ``default_folder()``.
        max_bytes: what all entries may take together; those unused for longest are deleted first.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder or default_folder()
        self.max_bytes = max_bytes

    def fetch(
        self, key: EngineKey, build: Callable[[Path], None], *, label: str = "", progress: Say | None = None
    ) -> Path:
        """The folder of an engine, which is built first if it is missing, damaged or another engine's.

        When two processes or threads ask at the same time, one builds and the other waits.

        Args:
            key: of the engine.
            build: writes the engine's files into the empty folder that it is given. What it raises is raised.
            label: for people, e.g. the checkpoint's file name.
            progress: is told, in a line each, why this takes long; by default the log is.
        """
        say = progress or log.info
        try:
            return self._fetch(key, build, label, say)
        except Exception as error:
            if not isinstance(error, OSError) and not _full(self.folder):
                raise
            _warn_once(self.folder, error)
        return EngineCache(_spare_folder())._fetch(key, build, label, say)

    def _fetch(self, key: EngineKey, build: Callable[[Path], None], label: str, say: Say) -> Path:
        folder = self.folder / str(key)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_others(self.folder)
        if (found := self._find(key)) is not None:
            return found
        name = f"{label or key.checkpoint[:12]}, {key.backend} {key.precision}"
        with locked(_lock(folder), waits=lambda: say(f"{name}: another process is building it; waiting")):
            if (fault := fault_of(folder, key)) == "":
                return touch(folder)
            if folder.exists():
                say(f"{name}: {folder} {fault}; built anew")
                shutil.rmtree(folder)
            part = _part(folder)
            # One that is left is of a process that was killed: a process that lives would hold the lock.
            shutil.rmtree(part, ignore_errors=True)
            try:
                part.mkdir(mode=0o700)
                began = time.monotonic()
                build(part)
                write_manifest(part, key, label, time.monotonic() - began)
                part.rename(folder)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        with suppress(OSError):
            self.prune(max_bytes=self.max_bytes, keep=folder)
        return folder

    def _find(self, key: EngineKey) -> Path | None:
        """The folder of an undamaged engine that this version or the previous one has built."""
        for known in (key, previous_key(key)):
            if known is not None and fault_of(self.folder / str(known), known) == "":
                return touch(self.folder / str(known))
        return None

    def drop(self, key: EngineKey) -> None:
        """Delete an engine, where that is allowed."""
        for folder in (self.folder, *_spare):
            for known in (key, previous_key(key)):
                if known is not None:
                    with suppress(OSError):
                        _remove(folder / str(known))

    def entries(self) -> list[CacheEntry]:
        """What the cache holds, the entry unused for longest first."""
        folders = [path for path in self.folder.glob("[0-9a-f]*") if path.is_dir() and not path.suffix]
        found = [entry for entry in map(read_entry, folders) if entry is not None]
        return sorted(found, key=lambda entry: entry.used)

    def prune(
        self,
        *,
        max_bytes: int | None = None,
        older_than: float | None = None,
        everything: bool = False,
        keep: Path | None = None,
    ) -> list[CacheEntry]:
        """Delete entries, but none that is being built. Returns those that were deleted.

        Args:
            max_bytes: delete those unused for longest until the others fit.
            older_than: delete those that were not used for so many seconds.
            everything: delete all.
            keep: the folder of one that stays.
        """
        entries = self.entries()
        total, now, gone = sum(entry.size for entry in entries), time.time(), []
        for entry in entries:
            old = older_than is not None and now - entry.used > older_than
            large = max_bytes is not None and total > max_bytes
            if (everything or old or large) and entry.folder != keep and _remove(entry.folder):
                gone.append(entry)
                total -= entry.size
        for part in self.folder.glob("*.part"):  # of processes that were killed
            _remove(part.with_suffix(""), part_alone=True)
        return gone


def _lock(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _part(folder: Path) -> Path:
    return folder.with_name(folder.name + ".part")


def _remove(folder: Path, *, part_alone: bool = False) -> bool:
    """Delete an entry and what is left of building it, unless it is being built. Returns whether it was deleted."""
    part = _part(folder)
    with locked(_lock(folder)) as held:
        if not held:
            return False
        shutil.rmtree(part, ignore_errors=True)
        if folder.exists() and not part_alone:
            folder.rename(part)  # so that nobody sees it half deleted
            shutil.rmtree(part)
        _lock(folder).unlink()
    return True


def _refuse_others(folder: Path) -> None:
    """Raise PermissionError if another user can write to the folder: engines hold code that is run."""
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o002:
        raise PermissionError(f"{folder} belongs to another user or can be written to by all")


def _full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < NO_ROOM
    except OSError:
        return False


_guard = threading.Lock()
_warned: set[Path] = set()
_spare: list[Path] = []


def _warn_once(folder: Path, error: Exception) -> None:
    with _guard:
        if folder in _warned:
            return
        _warned.add(folder)
    log.warning(
        "%s cannot keep engines (%s); they are built anew at each start. Make it writable, or set XDG_CACHE_HOME",
        folder,
        " ".join(str(error).split()),
        extra={"event": "engine_cache_unusable"},
    )


def _spare_folder() -> Path:
    """A folder that is deleted when the process ends."""
    with _guard:
        if not _spare:
            _spare.append(Path(tempfile.mkdtemp(prefix="nightday-engines-")))
            atexit.register(shutil.rmtree, _spare[0], ignore_errors=True)
        return _spare[0]
