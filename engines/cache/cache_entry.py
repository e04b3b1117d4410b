"""One compiled engine on disk: what it depends on, its manifest, and whether it is whole."""

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
        checkpoint: digest of weights and settings, ``model_digest``.
        graph: digest of the source of what makes the graph, ``graph_digest``.
        shape: most frames in a batch, height, width.
        backend, version: e.g. openvino, 2026.4.1.
        precision: fp32, bf16, fp16 or int8.
        device, driver: ``device_and_driver``.
        flags: whatever else the backend was told.
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
    def of(cls, told: dict[str, Any]) -> EngineKey:
        """The key that ``asdict`` made ``told`` of, also after a trip through JSON."""
        batch, height, width = told["shape"]
        flags = tuple((str(name), str(value)) for name, value in told["flags"])
        return cls(**{**told, "shape": (batch, height, width), "flags": flags})


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An engine in the cache.

    Attributes:
        folder: where it is.
        key: what it was built for; None where the manifest cannot be read, and nothing will load it.
        label: for people, e.g. the checkpoint's file name.
        files: names of its files.
        size: of them all, bytes.
        build_s: seconds that building it took.
        used: Unix seconds of its last use.
    """

    folder: Path
    key: EngineKey | None
    label: str
    files: tuple[str, ...]
    size: int
    build_s: float
    used: float


def write_manifest(folder: Path, key: EngineKey, label: str, seconds: float) -> None:
    """Write down what a folder's files are, ``seconds`` after building them began. FileNotFoundError without any."""
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not files:
        raise FileNotFoundError(f"{folder}: building {key.backend} {key.precision} left no file")
    told = {"key": asdict(key), "label": label, "created": time.time(), "build_s": seconds, "files": files}
    (folder / MANIFEST).write_text(json.dumps(told, indent=1))


def read_entry(folder: Path) -> CacheEntry | None:
    """What a folder holds; None if it is deleted meanwhile."""
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
    """Say that the entry was used now, where one may. Returns it."""
    with suppress(OSError):  # read-only, or deleted by another process
        os.utime(folder / MANIFEST)
    return folder


_checked: dict[Path, list[tuple[int, ...]]] = {}
"""Files that this process has hashed, as they were then: they are asked for again at every reload."""


def fault_of(folder: Path, key: EngineKey) -> str:
    """What keeps an entry from being loaded as ``key``'s; empty if nothing does."""
    manifest = _manifest(folder)
    if manifest is None:
        return "has no manifest"
    if EngineKey.of(manifest["key"]) != key:
        return "was built for another engine"
    files = {folder / name: file for name, file in manifest["files"].items()}
    seen: list[tuple[int, ...]] = []
    try:
        for path, file in files.items():
            found = path.stat()
            if found.st_size != file["size"]:
                return f"is torn: {path.name} has {found.st_size} bytes instead of {file['size']}"
            seen.append((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        if _checked.get(folder) == seen:
            return ""
        for path, file in files.items():
            if _sha256(path) != file["sha256"]:
                return f"is torn: {path.name} is not what was written"
    except OSError as error:
        return f"is torn: {error.filename} is missing or cannot be read"
    _checked[folder] = seen
    return ""


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest, if it is one."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
        EngineKey.of(told["key"])
        whole = isinstance(told["label"], str) and isinstance(told["build_s"], float)
        whole &= all(isinstance(file["size"], int) and "sha256" in file for file in told["files"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return told if whole else None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
