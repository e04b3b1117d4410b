"""What this process uses, by Linux's own account."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """What this process holds: resident bytes, threads and file descriptors."""

    rss: int
    threads: int
    fds: int

    @classmethod
    def now(cls) -> Usage:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        threads, fds = (len(os.listdir(f"/proc/self/{what}")) for what in ("task", "fd"))
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), threads, fds)
