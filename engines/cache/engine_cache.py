"""Compiled engines on disk: built once whoever asks, bounded in size, and never loaded when torn or stale."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from torch import nn

from .cache_entry import (
    CacheEntry,
    EngineKey,
    fault_of,
    read_entry,
    touch,
    write_manifest,
)
from .file_lock import locked

__all__ = ["CacheEntry", "EngineCache", "EngineKey", "default_folder", "graph_digest"]

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**30  # of all entries together; an engine has some megabytes, a large GPU's a hundred
NO_ROOM = 2**20  # bytes free on a disk that counts as full

Say = Callable[[str], None]


def graph_digest(model: nn.Module, *sources: str) -> str:
    """sha256 of the source of the modules that ``model`` is made of, and of further files (a backend's own)."""
    names = {type(part).__module__ for part in model.modules()}
    files = {sys.modules[name].__file__ or "" for name in names if not name.startswith("torch.")} | {*sources}
    digest = sha256()
    for file in sorted(map(Path, files), key=lambda file: file.name):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/nightday-stream/engines``, by default below ``~/.cache``."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(told) if told.startswith("/") else Path.home() / ".cache"
    except RuntimeError:  # an account without a home
        base = Path(tempfile.gettempdir(), f"nightday-stream-{os.geteuid()}")
    return base / "nightday-stream" / "engines"


class EngineCache:
    """Folders ``<digest of the key>/`` with an engine's files and a manifest, written last, that holds their hashes.

    Where the folder cannot be used (read-only, full, another user's), engines are built into one that goes
    with the process, with a warning.

    Args:
        folder: by default ``default_folder()``.
        max_bytes: what all entries may take together; those unused for longest go first.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder or default_folder()
        self.max_bytes = max_bytes

    def fetch(
        self, key: EngineKey, build: Callable[[Path], None], *, label: str = "", progress: Say | None = None
    ) -> Path:
        """The folder of an engine, built first if there is none or it is torn or stale.

        Two processes or threads that ask at once build once: the other waits.

        Args:
            key: of the engine.
            build: writes the engine's files into the empty folder it is given. What it raises is raised.
            label: for people, e.g. the checkpoint's file name.
            progress: hears, in a line each, why this takes long; by default the log.
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
        entry = self.folder / str(key)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_others(self.folder)
        if fault_of(entry, key) == "":
            return touch(entry)
        name = f"{label or key.checkpoint[:12]}, {key.backend} {key.precision}"
        with locked(_lock(entry), waits=lambda: say(f"{name}: another process is at it; waiting")):
            if (fault := fault_of(entry, key)) == "":
                return touch(entry)
            if entry.exists():
                say(f"{name}: {entry} {fault}; made anew")
                shutil.rmtree(entry)
            part = _part(entry)
            shutil.rmtree(
                part, ignore_errors=True
            )  # of a process that was killed: whoever lives holds the lock
            try:
                part.mkdir(mode=0o700)
                began = time.monotonic()
                build(part)
                write_manifest(part, key, label, time.monotonic() - began)
                part.rename(entry)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        with suppress(OSError):
            self.prune(max_bytes=self.max_bytes, keep=entry)
        return entry

    def drop(self, key: EngineKey) -> None:
        """Forget an engine, where that may be."""
        for folder in (self.folder, *_spare):
            with suppress(OSError):
                _remove(folder / str(key))

    def entries(self) -> list[CacheEntry]:
        """What is there, that unused for longest first."""
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
        """Delete entries; those being built are left alone. Returns what went.

        Args:
            max_bytes: those unused for longest go until the others fit.
            older_than: those go that were not used for so many seconds.
            everything: all go.
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


def _lock(entry: Path) -> Path:
    return entry.with_name(entry.name + ".lock")


def _part(entry: Path) -> Path:
    return entry.with_name(entry.name + ".part")


def _remove(entry: Path, *, part_alone: bool = False) -> bool:
    """Delete an entry and what is left of its making, unless it is being built."""
    part = _part(entry)
    with locked(_lock(entry)) as held:
        if not held:
            return False
        shutil.rmtree(part, ignore_errors=True)
        if entry.exists() and not part_alone:
            entry.rename(part)  # nobody sees it half deleted
            shutil.rmtree(part)
        _lock(entry).unlink()
    return True


def _refuse_others(folder: Path) -> None:
    """Engines hold code: they are loaded from folders that nobody else can write to."""
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
        folder, " ".join(str(error).split()), extra={"event": "engine_cache_unusable"},
    )  # fmt: skip


def _spare_folder() -> Path:
    """A folder that goes with the process."""
    with _guard:
        if not _spare:
            _spare.append(Path(tempfile.mkdtemp(prefix="nightday-engines-")))
            atexit.register(shutil.rmtree, _spare[0], ignore_errors=True)
        return _spare[0]
