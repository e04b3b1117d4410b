"""One newest-wins slot a camera, between its reader and the batcher."""

from __future__ import annotations

import threading

from ..core.counters import CameraStats, DropReason
from ..core.frame import Frame

CANCEL_CHECK = (
    0.1  # seconds; an Event cannot wake a waiter on another one, so a blocked put looks at it this often
)


class LatestSlot:
    """Holds at most one frame: the newest that nobody has taken yet.

    All slots of a pipeline share ``ready``, a condition with a re-entrant lock (the default), of which
    a frame in any of them wakes one waiter. The batcher waits on all cameras at once with it::

        with ready:
            ready.wait_for(lambda: stop.is_set() or any(slot.pending for slot in slots), timeout=window)
            frames = [frame for slot in slots if (frame := slot.take()) is not None]

    One thread puts, any thread takes.

    Args:
        ready: the condition all slots share.
        stats: the camera's counters.
        max_age: seconds from decoding after which a frame is not worth taking; None for no limit.
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
        """Hold ``frame`` at once; an older one that nobody took is dropped and counted as ``reason``."""
        with self._ready:
            replaced, self._frame = self._frame, frame
            self._ready.notify()
        if replaced is not None:
            self._stats.count_dropped(reason)

    def put_wait(self, frame: Frame, *, cancelled: threading.Event) -> bool:
        """Hold ``frame`` once the older one has been taken: nothing is lost.

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
        """The held frame, which leaves the slot; None if there is none.

        None as well if it is older than ``max_age`` at ``now`` (monotonic clock): then it is dropped as "stale".
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
        """Seconds from the held frame's decoding to ``now`` (monotonic clock); None if there is none."""
        frame = self._frame
        return None if frame is None else now - frame.decoded_at
