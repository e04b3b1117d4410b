"""What keeps a node from writing cameras that another may have: a lease that runs out unless it is renewed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from ..core.lease import Lease

LEASE_SECONDS = 5.0
"""For how long a node may write after it has last shown a sign of life that the coordinator has answered."""


def boot_seconds() -> float:
    """Seconds since this machine was booted, on a clock that goes on while a process or the machine is stopped."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Fence:
    """The cameras that a node may write, and until when. Any thread may ask.

    Args:
        clock: seconds on a clock that goes on while the process is stopped.
    """

    def __init__(self, clock: Callable[[], float] = boot_seconds) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._epochs: Mapping[str, int] = {}

    def renew(self, until: float) -> None:
        """The node may write until its clock says ``until``."""
        with self._lock:
            self._until = max(self._until, until)

    def allow(self, epochs: Mapping[str, int]) -> None:
        """Let cameras be written from now on, by name, each under its epoch alone."""
        with self._lock:
            self._epochs = {**self._epochs, **epochs}

    def keep(self, epochs: Mapping[str, int]) -> None:
        """Of all cameras, let only these be written from now on."""
        with self._lock:
            self._epochs = dict(epochs)

    def lease(self, camera: str, epoch: int) -> Lease:
        """The right to write a camera, as its outputs ask for it."""
        return Lease(epoch, lambda: self._epochs.get(camera) == epoch and self._clock() < self._until)
