"""What this process uses, by Linux's own account."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
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


@dataclass(frozen=True, slots=True)
class Held:
    """What is allocated and not freed, whatever the system keeps resident for it.

    Attributes:
        c: bytes by the C library's account; 0 where it gives none (glibc does from 2.33 on).
        python_blocks: memory blocks of Python's objects; those that wait for the cycle collector are among them.
    """

    c: int
    python_blocks: int

    @classmethod
    def now(cls) -> Held:
        return cls(_allocated() if _allocated else 0, sys.getallocatedblocks())


def settle_interned() -> None:
    """Have Python's table of interned strings grow now, as it does once in every process, at some time or other.

    A string that is interned and dies uses up a place, and when none is left the table doubles: 0.5 MB in a small
    process and 2 MB in one that has loaded torch. It is rebuilt at that size from then on.
    """
    for number in range(400_000):
        sys.intern(f"interned {number}")


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _account() -> Callable[[], int] | None:
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return None
    mallinfo.restype = _Mallinfo

    def allocated() -> int:
        info = mallinfo()
        return int(info.uordblks + info.hblkhd)

    return allocated


_allocated = _account()
