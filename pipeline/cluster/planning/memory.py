"""How much memory this process may use, its container's limit counted; and how much a camera takes."""

from __future__ import annotations

from pathlib import Path

from nightday.engines.cores import control_groups

# Pictures that a camera keeps, of 3 bytes a pixel: for its backgrounds at the most, and on their way from decoder to
# outputs: decoded and seen, in a slot, with a worker and in an output's queue.
BACKGROUND_PICTURES = 49
MOVING_PICTURES = 12
# Bytes that PyTorch, OpenVINO, FFmpeg and a model take once.
PROGRAM_BYTES = 1_000_000_000

_SYSTEM = Path("/")


def memory_limit(system: Path = _SYSTEM) -> int:
    """Bytes that this process may use: the machine's, or less where a control group says so.

    Args:
        system: the folder with proc/ and sys/.
    """
    limits = [
        int(words[1]) * 1024
        for line in _text(system / "proc/meminfo").splitlines()
        if (words := line.split()) and words[0] == "MemTotal:"
    ]
    for folder, version_2 in control_groups("memory", system):
        limit = _text(folder / ("memory.max" if version_2 else "memory.limit_in_bytes"))
        if limit.isdigit():
            limits.append(int(limit))
    return min(limits, default=0)


def camera_bytes(pixels: int, *, backgrounds: bool) -> int:
    """Most bytes that a camera's pictures take."""
    return 3 * pixels * (MOVING_PICTURES + (BACKGROUND_PICTURES if backgrounds else 0))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
