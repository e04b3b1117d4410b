"""The slot between a camera's reader and the batcher, in which the newest frame wins."""

from __future__ import annotations

import threading

from ..core.counters import CameraStats, DropReason
from ..core.frame import Frame

# Seconds between a blocked put's looks at ``cancelled``. A thread that waits on one event cannot be woken by another.
CANCEL_CHECK = 0.1


class LatestSlot:
    """Holds at most one frame: the newest that nobody has taken yet.

    All slots of a pipeline share ``ready``, a condition with a re-entrant lock (the default). A frame in any slot
    wakes one waiter. So the batcher can wait for all cameras at once::

        with ready:
            ready.wait_for(lambda: stop.is_set() or any(slot.pending for slot in slots), timeout=window)
            frames = [frame for slot in slots if (frame := slot.take()) is not None]

    One thread puts, any thread takes.

    Args:
        ready: the condition all slots share.
        stats: the camera's counters.
        max_age: seconds after decoding from which a frame is too old to be taken; None for no limit.
    """

    def __init__(
        self, *, ready: threading.Condition, stats: CameraStats, max_age: float | None = None
    ) -> None:
        self._ready = ready
        self._stats = stats
        self._max_age = max_age
        self._frame: Frame | None = None
        self._emptied = threading.Event()

    def put(self, frame: Frame, *, reason: DropReason = "overload") -> None:
        """Hold ``frame`` at once. An older frame that nobody took is dropped and counted as ``reason``."""
        with self._ready:
            replaced, self._frame = self._frame, frame
            self._ready.notify()
        if replaced is not None:
            self._stats.count_dropped(reason)

    def put_wait(self, frame: Frame, *, cancelled: threading.Event) -> bool:
        """Hold ``frame`` as soon as the older one has been taken, so that none is lost.

        Returns False, with the frame not put, if ``cancelled`` is set first (seen within ``CANCEL_CHECK``).
        """
        while not cancelled.is_set():
            with self._ready:
                if self._frame is None:
                    self._frame = frame
                    self._ready.notify()
                    return True
                self._emptied.clear()
            self._emptied.wait(CANCEL_CHECK)
        return False

    def take(self, now: float | None = None) -> Frame | None:
        """Take the held frame out of the slot; None if there is none.

        If it is older than ``max_age`` at ``now`` (monotonic seconds), it is dropped as "stale", and the result is
        None.
        """
        with self._ready:
            frame, self._frame = self._frame, None
            self._emptied.set()
        if frame is None or now is None or self._max_age is None:
            return frame
        if now - frame.decoded_at > self._max_age:
            self._stats.count_dropped("stale")
            return None
        return frame

    @property
    def pending(self) -> bool:
        """Whether a frame waits to be taken."""
        return self._frame is not None

    def peek_age(self, now: float) -> float | None:
        """Seconds since the held frame was decoded, at ``now`` (monotonic seconds); None if there is none."""
        frame = self._frame
        return None if frame is None else now - frame.decoded_at
