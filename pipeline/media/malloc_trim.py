"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

from ..core.clock import Clock, SystemClock

# Seconds between two calls at least: each takes about a millisecond.
EVERY = 5.0


class MallocTrimmer:
    """Gives back what libraries freed and the allocator kept, where the C library is glibc.

    Each connection has a decoder with threads of its own, whose freed buffers stay with glibc. Without giving them
    back, a process grows with every reconnect.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._due = 0.0
        try:
            self._trim: Callable[[int], int] | None = ctypes.CDLL(None).malloc_trim
        except (AttributeError, OSError):  # musl, macOS
            self._trim = None

    def give_back(self) -> bool:
        """Give back what can be, unless that was done in the last ``EVERY`` seconds. True if it was done."""
        with self._lock:
            now = self._clock.monotonic()
            if self._trim is None or now < self._due:
                return False
            self._due = now + EVERY
        self._trim(0)
        return True


malloc_trimmer = MallocTrimmer()
"""The one for the whole process."""
