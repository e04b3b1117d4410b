"""One compiled engine on disk: what it depends on, its manifest, and whether it is undamaged."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """Everything that a compiled engine depends on. ``str`` is a digest for file names.

    Attributes:
        checkpoint: digest of weights and settings, see ``model_digest``.
        graph: digest of the code that makes the graph, see ``graph_digest``.
        shape: most frames in a batch, height, width.
        backend, version: e.g. openvino, 2026.4.1.
        precision: fp32, bf16, fp16 or int8.
        device, driver: see ``device_and_driver``.
        flags: whatever else the engine depends on, by name.
    """

    checkpoint: str
    graph: str
    shape: tuple[int, int, int]
    backend: str
    version: str
    precision: str
    device: str
    driver: str
    flags: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]

    @classmethod
    def of(cls, content: dict[str, Any]) -> EngineKey:
        """The key whose ``asdict`` is ``content``, which may have been written as JSON and read again."""
        batch, height, width = content["shape"]
        flags = tuple((str(name), str(value)) for name, value in content["flags"])
        return cls(**{**content, "shape": (batch, height, width), "flags": flags})


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An engine in the cache.

    Attributes:
        folder: where it is.
        key: what it was built for; None where the manifest cannot be read, and the entry is never loaded.
        label: for people, e.g. the checkpoint's file name.
        files: names of its files.
        size: bytes of all files.
        build_s: seconds that building it took.
        used: when it was last used, Unix seconds.
    """

    folder: Path
    key: EngineKey | None
    label: str
    files: tuple[str, ...]
    size: int
    build_s: float
    used: float


def write_manifest(folder: Path, key: EngineKey, label: str, seconds: float) -> None:
    """Write the manifest of the files in a folder. Raises FileNotFoundError if there are none.

    Args:
        folder: with the files of one engine.
        key: of the engine.
        label: for people, e.g. the checkpoint's file name.
        seconds: that building it took.
    """
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not files:
        raise FileNotFoundError(f"{folder}: building {key.backend} {key.precision} left no file")
    content = {"key": asdict(key), "label": label, "created": time.time(), "build_s": seconds, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1))


def read_entry(folder: Path) -> CacheEntry | None:
    """What a folder holds; None if another process deletes it meanwhile."""
    try:
        manifest = _manifest(folder)
        if manifest is None:
            sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
            return CacheEntry(
                folder, None, "", tuple(sizes), sum(sizes.values()), 0.0, folder.stat().st_mtime
            )
        size = sum(file["size"] for file in manifest["files"].values())
        used = (folder / MANIFEST).stat().st_mtime
        key, files = EngineKey.of(manifest["key"]), tuple(manifest["files"])
        return CacheEntry(folder, key, manifest["label"], files, size, manifest["build_s"], used)
    except FileNotFoundError:
        return None


def touch(folder: Path) -> Path:
    """Note that the entry in ``folder`` was used now. Returns the folder."""
    with suppress(OSError):  # the folder is read-only, or was deleted by another process
        os.utime(folder / MANIFEST)
    return folder


_checked: dict[Path, list[tuple[int, ...]]] = {}
"""Stat values of the files that this process has hashed, by folder; engines are fetched again at every reload."""


def fault_of(folder: Path, key: EngineKey) -> str:
    """Why an entry cannot be loaded for ``key``; empty if it can."""
    manifest = _manifest(folder)
    if manifest is None:
        return "has no manifest"
    if EngineKey.of(manifest["key"]) != key:
        return "was built for another engine"
    files = {folder / name: file for name, file in manifest["files"].items()}
    stats: list[tuple[int, ...]] = []
    try:
        for path, file in files.items():
            found = path.stat()
            if found.st_size != file["size"]:
                return f"is torn: {path.name} has {found.st_size} bytes instead of {file['size']}"
            stats.append((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        if _checked.get(folder) == stats:
            return ""
        for path, file in files.items():
            if _sha256(path) != file["sha256"]:
                return f"is torn: {path.name} is not what was written"
    except OSError as error:
        return f"is torn: {error.filename} is missing or cannot be read"
    _checked[folder] = stats
    return ""


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest; None if it is missing or is not one."""
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        EngineKey.of(content["key"])
        valid = isinstance(content["label"], str) and isinstance(content["build_s"], float)
        valid &= all(isinstance(file["size"], int) and "sha256" in file for file in content["files"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if valid else None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
