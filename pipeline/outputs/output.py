"""Outputs: a thread each, which no camera ever waits for, and which starts again after a failure."""

from __future__ import annotations

import errno
import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from ..core.backoff import Backoff
from ..core.camera_url import CameraUrl
from ..core.clock import Clock, SystemClock
from ..core.counters import CameraStats
from ..core.faults import FaultReason, detail_of
from ..core.frame import Picture
from ..media.ffmpeg import reason_of
from .encoder import LeftOut, SharedEncoder
from .mp4.limits import Limits
from .mp4.retention import Retention
from .mp4.writer import SegmentWriter
from .registry import output_fault
from .rtsp.client import RtspError
from .rtsp.writer import RestreamWriter

log = logging.getLogger(__name__)

OutputState = Literal["starting", "writing", "retrying", "closed"]
OutputReason = FaultReason | Literal["disk_full", "read_only", "denied", "disk_error"]

QUEUE = 4  # pictures an output may lie behind: 0.16 s at 25 fps, 25 MB at 1080p
FILE_BACKOFF = Backoff(
    cap=5.0
)  # seconds: a folder is tried again at little cost, and soon after it was put right
SETTLE = (
    2.0  # seconds a retried output must write until it counts as writing: a nearly full disk takes a little
)
IDLE_CHECK = 1.0  # seconds without a picture until the writer is told
STALLED = 5.0  # seconds a write may take until it is said; a disk's cannot be ended
_CANCEL_CHECK = 0.1  # seconds between a blocked put's looks at `cancelled`: it can wait on one thing only
_ERRNO_REASONS: dict[int | None, OutputReason] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EIO: "disk_error",
}
_STATUS_REASONS: dict[int, OutputReason] = {
    401: "unauthorised",
    403: "unauthorised",
    404: "not_found",
}


class Writer(Protocol):
    """What a sink writes with, in its own thread only."""

    def write(self, picture: Picture) -> None:
        """Write one picture. Any exception but LeftOut means that the output is lost for now."""
        ...

    def idle(self, seconds: float) -> None:
        """Told about once a second that no picture has come for ``seconds``; may raise as ``write`` does."""
        ...

    def close(self) -> None:
        """Complete what was written. ``write`` may be called again afterwards and begins anew."""
        ...


@dataclass(frozen=True, slots=True)
class OutputEvent:
    """An output's change of state. ``reason`` and ``detail`` say why it is ``retrying``."""

    camera: str
    output: str
    state: OutputState
    reason: OutputReason | None = None
    detail: str = ""


class Output(threading.Thread):
    """One output of one camera: a short queue, and a thread that encodes and writes.

    A failure concerns this output alone: it is logged once, pictures are dropped as "output_failed" until the
    back-off is over, then the writer is tried again with the next picture. It counts as put right, and the back-off
    begins anew, when it has written for ``SETTLE`` seconds. A write that takes longer than ``STALLED`` is said to
    be retrying ("stall") while it lasts. A picture's latency is counted once it is written, so that waiting in the
    queue, encoding and writing are part of it.

    Args:
        writer: writes; used in this thread only.
        camera: the camera's name, for events and the log.
        output: the output's name there, secrets masked.
        stats: the camera's counters.
        on_event: called in this thread at each change of state; must not block.
        backoff: waiting times between tries.
        rng: draws their jitter.
        clock: time.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        camera: str,
        output: str,
        stats: CameraStats,
        on_event: Callable[[OutputEvent], None] | None = None,
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
        rng: random.Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name=f"sink-{camera}", daemon=True)
        self._writer = writer
        self._camera = camera
        self._output = output
        self._stats = stats
        self._on_event = on_event
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
        self._telling = threading.Lock()
        self._event = OutputEvent(camera, output, "starting")

    @property
    def event(self) -> OutputEvent:
        """The output's present state, with its reason."""
        return self._event

    def offer(self, picture: Picture) -> bool:
        """Queue ``picture``; never blocks. False, and a drop counted as "output_slow", if the queue is full."""
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
        """Queue ``picture`` once there is room: for files at ``pace: fast``, which lose nothing.

        False, with the picture not queued, once ``cancelled`` is set or the sink is closing.
        """
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
                if not self._waits(now):
                    self._attempt(lambda: self._writer.idle(now - idle_since))  # noqa: B023 - called at once
                continue
            idle_since = now
            if self._waits(now):
                self._stats.count_dropped("output_failed")
                continue
            try:
                written = self._attempt(lambda: self._writer.write(picture))  # noqa: B023 - called at once
            except LeftOut:
                self._stats.count_dropped("output_slow")
                continue
            if written:
                self._count_written(picture)
            else:
                self._stats.count_dropped("output_failed")
        try:
            self._writer.close()
        except Exception as error:
            self._change("closed", output_reason(error), detail_of(error))
        else:
            if self._well_since is not None:
                self._change("writing")  # the last thing it did, too short a time to have been said
            self._change("closed")

    def _waits(self, now: float) -> bool:
        """Whether the back-off is not over yet."""
        return self._retry_at is not None and now < self._retry_at

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do ``work``; False if it failed, which is then dealt with. Raises LeftOut, which is no failure."""
        with self._changed:
            self._busy_since = self._clock.monotonic()
        try:
            work()
        except LeftOut:
            raise
        except Exception as error:  # whatever an output does must stay with it
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
        if not self._failures or now - self._well_since >= SETTLE:
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
        """Log and tell a change of state or of its reason, once."""
        with self._telling:  # a stall is told by who offers pictures
            before, self._event = self._event, OutputEvent(self._camera, self._output, state, reason, detail)
            if (before.state, before.reason) == (state, reason):
                return
            text = f"{self._camera}: output {self._output} {state}"
            if reason is not None:
                text += f" ({reason}: {detail})"
            level = logging.WARNING if reason is not None else logging.INFO
            extra = {
                "event": f"output_{state}",
                "camera": self._camera,
                "output": self._output,
                "reason": reason,
            }
            log.log(level, "%s", text, extra=extra)
            if self._on_event is not None:
                self._on_event(self._event)


def output_reason(error: BaseException) -> OutputReason:
    """The typed reason of an output's failure."""
    if isinstance(error, RtspError):
        return _STATUS_REASONS.get(error.status, "failed")
    if isinstance(error, OSError) and error.errno in _ERRNO_REASONS:
        return _ERRNO_REASONS[error.errno]
    return reason_of(error)


def open_output(
    output: CameraUrl | str,
    *,
    camera: str,
    stats: CameraStats,
    segment_seconds: float = 60.0,
    generated: bool = True,
    retention: Limits | None = None,
    encoder: SharedEncoder | None = None,
    on_event: Callable[[OutputEvent], None] | None = None,
    backoff: Backoff | None = None,
    rng: random.Random | None = None,
    clock: Clock | None = None,
) -> Output:
    """A started sink for ``output``: segments for a path ending in ``.mp4``, a restream for ``rtsp://``.

    ``generated`` says whether generated pictures may come, which the output then notes in its metadata.
    ``retention`` is for files. Outputs of one camera that are given the same ``encoder`` encode once. Without
    ``backoff``, files are tried again every 5 s at the least, servers every 30.
    Opens nothing yet: a server that is down or a folder that cannot be written is tried again from the sink's
    thread. Raises ValueError with ``output_fault``'s message for any other address.
    """
    url = CameraUrl(output) if isinstance(output, str) else output
    fault = output_fault(url)
    if fault is not None:
        raise ValueError(fault)
    writer: Writer
    if url.is_file:
        kept = None
        if retention is not None:
            kept = Retention(template=url.path, limits=retention, camera=camera, clock=clock)
        writer = SegmentWriter(
            template=str(url.path),
            segment_seconds=segment_seconds,
            generated=generated,
            encoder=encoder,
            retention=kept,
        )
    else:
        writer = RestreamWriter(url=url, generated=generated, encoder=encoder)
    sink = Output(
        writer,
        camera=camera,
        output=str(url),
        stats=stats,
        on_event=on_event,
        backoff=backoff or (FILE_BACKOFF if url.is_file else Backoff()),
        rng=rng,
        clock=clock,
    )
    sink.start()
    return sink
