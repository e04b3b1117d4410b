"""An output: a thread that no camera ever waits for, and that starts again after a failure."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable

from ..core.backoff import Backoff
from ..core.clock import Clock, SystemClock
from ..core.counters import CameraStats
from ..core.event_log import to_log
from ..core.events import OutputChanged, OutputState, Publish
from ..core.faults import OutputReason, detail_of
from ..core.frame import Picture
from .reasons import output_reason
from .writer import PictureSkipped, Writer

log = logging.getLogger(__name__)

# Pictures that may wait to be written: 0.16 s at 25 fps, 25 MB at 1080p.
QUEUE = 4
# Seconds a retried output must write until it counts as recovered. A nearly full disk takes a few pictures and fails
# again.
RECOVERY_SECONDS = 2.0
# Seconds without a picture until the writer is told.
IDLE_CHECK = 1.0
# Seconds a write may take until it is reported as stalled. A write to a disk cannot be interrupted.
STALLED = 5.0
# Seconds between a blocked ``put_wait``'s looks at ``cancelled``: it can wait for one thing only.
_CANCEL_CHECK = 0.1


class Output(threading.Thread):
    """One output of one camera: a short queue, and a thread that encodes and writes.

    A failure concerns this output alone: it is published once, pictures are dropped as "output_failed" until the
    back-off is over, then the writer is tried again with the next picture. It counts as recovered, and the back-off
    begins anew, when it has written for ``RECOVERY_SECONDS``. While a write takes longer than ``STALLED``, the output
    is "retrying" with the reason "stall". A picture's latency is counted once it is written, so that waiting in the
    queue, encoding and writing are part of it.

    Args:
        writer: writes; used in this thread only.
        camera: the camera's name, for events.
        output: the output's name there, secrets masked.
        stats: the camera's counters.
        publish: told of each change of state; must not block.
        backoff: waiting times between tries.
        rng: draws their jitter.
        clock: time.
        wants: tells whether a picture is one of those that the output is to write; by default all are.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        camera: str,
        output: str,
        stats: CameraStats,
        publish: Publish = to_log,
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
        rng: random.Random | None = None,
        clock: Clock | None = None,
        wants: Callable[[Picture], bool] = lambda picture: True,
    ) -> None:
        super().__init__(name=f"output-{camera}", daemon=True)
        self._wants = wants
        self._writer = writer
        self._camera = camera
        self._output = output
        self._stats = stats
        self._publish = publish
        self._backoff = backoff
        self._rng = rng or random.Random()
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._queue: deque[Picture] = deque()
        self._closing = False
        self._failures = 0
        self._retry_at: float | None = None
        self._well_since: float | None = None
        self._busy_since: float | None = None
        self._event_lock = threading.Lock()
        self._event = OutputChanged(camera=camera, output=output, state="starting")

    @property
    def event(self) -> OutputChanged:
        """The output's present state, with its reason."""
        return self._event

    def offer(self, picture: Picture) -> bool:
        """Queue ``picture``, if it is wanted; never blocks.

        False, and a drop counted as "output_slow", if the queue is full.
        """
        if not self._wants(picture):
            return True
        with self._changed:
            taken = not self._closing and len(self._queue) < QUEUE
            if taken:
                self._queue.append(picture)
                self._changed.notify_all()
            busy_since = self._busy_since
        if not taken:
            self._stats.count_dropped("output_slow")
            if busy_since is not None and self._clock.monotonic() - busy_since > STALLED:
                self._change("retrying", "stall", f"a write has not come back for more than {STALLED:g} s")
        return taken

    def put_wait(self, picture: Picture, *, cancelled: threading.Event) -> bool:
        """Queue ``picture``, if it is wanted, once there is room: for files at ``pace: fast``, which lose nothing.

        False, with the picture not queued, once ``cancelled`` is set or the output is closing.
        """
        if not self._wants(picture):
            return True
        with self._changed:
            while not cancelled.is_set() and not self._closing:
                if len(self._queue) < QUEUE:
                    self._queue.append(picture)
                    self._changed.notify_all()
                    return True
                self._changed.wait(_CANCEL_CHECK)
        return False

    def finish(self) -> None:
        """Take no more pictures, write those queued and end. Returns at once; ``close`` waits."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """``finish`` and wait for at most ``timeout`` seconds. True if everything is written and closed."""
        self.finish()
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        """Write what is queued until told to finish."""
        idle_since = self._clock.monotonic()
        while not (self._closing and not self._queue):
            picture = self._next()
            now = self._clock.monotonic()
            if picture is None:
                if not self._backs_off(now):
                    self._attempt(lambda: self._writer.idle(now - idle_since))  # noqa: B023 - called at once
                continue
            idle_since = now
            if self._backs_off(now):
                self._stats.count_dropped("output_failed")
                continue
            try:
                succeeded = self._attempt(lambda: self._writer.write(picture))  # noqa: B023 - called at once
            except PictureSkipped as skipped:
                self._stats.count_dropped(skipped.reason)
                continue
            if succeeded:
                self._count_written(picture)
            else:
                self._stats.count_dropped("output_failed")
        try:
            self._writer.close()
        except Exception as error:
            self._change("closed", output_reason(error), detail_of(error))
        else:
            if self._well_since is not None:
                # The last tries succeeded, but not for long enough to have been reported.
                self._change("writing")
            self._change("closed")

    def _backs_off(self, now: float) -> bool:
        """Whether the back-off is not over yet."""
        return self._retry_at is not None and now < self._retry_at

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do ``work``; False if it failed, which is then dealt with. Raises PictureSkipped, which is no failure."""
        with self._changed:
            self._busy_since = self._clock.monotonic()
        try:
            work()
        except PictureSkipped:
            raise
        except Exception as error:  # whatever happens in one output must not reach the others
            self._fail(error)
            return False
        finally:
            with self._changed:
                self._busy_since = None
        return True

    def _count_written(self, picture: Picture) -> None:
        now = self._clock.monotonic()
        self._stats.count_latency(now - picture.frame.decoded_at)
        self._retry_at = None
        self._well_since = now if self._well_since is None else self._well_since
        if not self._failures or now - self._well_since >= RECOVERY_SECONDS:
            self._failures = 0
            self._change("writing")

    def _next(self) -> Picture | None:
        """The next picture; None if none came for ``IDLE_CHECK`` seconds or none will."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, IDLE_CHECK)
            picture = self._queue.popleft() if self._queue else None
            self._changed.notify_all()
        return picture

    def _fail(self, error: Exception) -> None:
        """Give up what the writer has open, and set the time of the next try."""
        reason, detail = output_reason(error), detail_of(error)
        self._well_since = None
        try:
            self._writer.close()
        except Exception as also:
            log.debug("%s: closing %s: %s", self._camera, self._output, detail_of(also))
        self._retry_at = self._clock.monotonic() + self._backoff.delay(self._failures, self._rng)
        self._failures += 1
        self._change("retrying", reason, detail)

    def _change(self, state: OutputState, reason: OutputReason | None = None, detail: str = "") -> None:
        """Publish a change of state or of its reason, once."""
        with self._event_lock:  # a stall is reported by the thread that offers pictures
            before = self._event
            self._event = OutputChanged(
                camera=self._camera, output=self._output, state=state, reason=reason, detail=detail
            )
            if (before.state, before.reason) != (state, reason):
                self._publish(self._event)
