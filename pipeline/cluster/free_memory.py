"""How much memory is free for this process, its container's limit counted."""

from __future__ import annotations

from pathlib import Path

from nightday.engines.cores import control_groups

_SYSTEM = Path("/")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def free_memory(system: Path = _SYSTEM) -> int:
    """Bytes that may still be taken without pushing anything out; 0 where that cannot be told.

    Args:
        system: the folder with proc/ and sys/.
    """
    free = [
        int(words[1]) * 1024
        for line in _text(system / "proc/meminfo").splitlines()
        if (words := line.split()) and words[0] == "MemAvailable:"
    ]
    for folder, version_2 in control_groups("memory", system):
        limit, used = ("memory.max", "memory.current") if version_2 else _VERSION_1
        if (most := _text(folder / limit)).isdigit() and (now := _text(folder / used)).isdigit():
            # What is kept of files can go.
            files = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
            free.append(int(most) - int(now) + int(files.get("inactive_file", 0)))
    return max(0, min(free, default=0))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
