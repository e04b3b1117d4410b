"""Which files of a scene's folders are its pictures and clips."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
CLIPS = {".mp4", ".mkv", ".mov", ".avi", ".ts", ".webm"}
# What stands beside pictures: labels, lists and notes, checkpoints, and what systems leave.
BESIDE = {
    ".txt",
    ".json",
    ".xml",
    ".csv",
    ".yaml",
    ".yml",
    ".md",
    ".html",
    ".log",
    ".pt",
    ".db",
    ".ini",
    ".state",
}
# A folder of one day: 2026-01-02 or 20260102.
_DATE = re.compile(r"(19|20)\d\d(-\d\d-\d\d|\d{4})")


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name; else it is a clip, or neither."""
    return path.suffix.lower() in PICTURES


def footage_files(folder: Path) -> list[Path]:
    """The pictures and clips in a folder and in the folders in it, in the order of their paths.

    Hidden files and folders are left out, and so are those in which file servers and systems keep thumbnails and
    what was deleted. Links are followed, but no folder is read twice.

    Raises:
        OSError: a folder cannot be read.
    """
    return sorted(path for path in _walked(folder) if path.suffix.lower() in PICTURES | CLIPS)


def passed_over(folders: Iterable[Path]) -> list[str]:
    """A line on the files in ``folders`` that are neither pictures nor clips and might be meant to be; else nothing.

    Labels and what else may stand beside pictures is no reason to say anything. Raises OSError as ``footage_files``.
    """
    known = PICTURES | CLIPS | BESIDE
    kinds = Counter(path.suffix.lower() for folder in folders for path in _walked(folder))
    others = {kind: count for kind, count in kinds.most_common() if kind not in known}
    if not others:
        return []
    named = ", ".join(f"{count} {kind or 'without an ending'}" for kind, count in others.items())
    return [
        f"{sum(others.values())} files are passed over ({named}): pictures are read from "
        f"{', '.join(sorted(PICTURES))}, clips from {', '.join(sorted(CLIPS))}; convert or unpack the others"
    ]


def nothing_read(folder: Path) -> str:
    """What to say of a folder without a picture or clip, to be read after its name."""
    others = passed_over([folder]) if folder.is_dir() else []
    why = f"; {others[0]}" if others else f" ({', '.join(sorted(PICTURES | CLIPS))})"
    return "holds no picture or clip" + why


def _walked(folder: Path) -> Iterator[Path]:
    """Every file in a folder and the folders in it but hidden ones, each folder once. Raises OSError."""
    visited: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(here)
        folders[:] = [] if real in visited else sorted(name for name in folders if not _is_hidden(name))
        if real not in visited:
            yield from (Path(here, name) for name in names if not _is_hidden(name))
        visited.add(real)


def part_folders(scene: Path, part: str) -> list[Path]:
    """Where the pictures of a part are: ``scene``/part, and the same in a scene's folders of single days.

    Args:
        scene: the scene's folder.
        part: day or night.
    """
    return sorted(path for above in (scene, *_dated(scene)) if (path := above / part).is_dir())


def part_files(scene: Path, part: str) -> list[Path]:
    """``footage_files`` of ``part_folders``."""
    return [path for folder in part_folders(scene, part) for path in footage_files(folder)]


def _dated(scene: Path) -> Iterator[Path]:
    if scene.is_dir():
        yield from (path for path in scene.iterdir() if _DATE.fullmatch(path.name))


def _is_hidden(name: str) -> bool:
    """``._x.png`` of macOS among them; ``@eaDir`` and ``#recycle`` are of network disks."""
    return name.startswith((".", "@", "#")) or name == "__MACOSX"


def _raise(error: OSError) -> None:
    raise error
