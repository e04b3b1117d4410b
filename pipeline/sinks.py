"""Outputs: a thread each, which no camera ever waits for, and which starts again after a failure."""

from __future__ import annotations

import logging
import random
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.backoff import Backoff
from pipeline.clock import Clock, SystemClock
from pipeline.frame import Picture
from pipeline.media import Reason, detail_of, reason_of
from pipeline.restream import RestreamWriter
from pipeline.segments import SegmentWriter
from pipeline.stats import CameraStats
from pipeline.urls import CameraUrl

log = logging.getLogger(__name__)

SinkState = Literal["starting", "writing", "retrying", "closed"]

NO_PORT = "no usable port after the host; give a number from 1 to 65535, or leave it out with its colon"
QUEUE = 4  # pictures an output may lie behind: 0.16 s at 25 fps, 25 MB at 1080p
_CANCEL_CHECK = 0.1  # seconds between a blocked put's looks at `cancelled`: it can wait on one thing only
_LATER = ("rtmp", "rtmps", "srt", "http", "https", "whip", "hls")


class Writer(Protocol):
    """What a sink writes with, in its own thread only."""

    def write(self, picture: Picture) -> None:
        """Write one picture; any exception means that the output is lost for now."""
        ...

    def close(self) -> None:
        """Complete what was written. ``write`` may be called again afterwards and begins anew."""
        ...


@dataclass(frozen=True, slots=True)
class SinkEvent:
    """An output's change of state. ``reason`` and ``detail`` say why it is ``retrying``."""

    camera: str
    output: str
    state: SinkState
    reason: Reason | None = None
    detail: str = ""


class Sink(threading.Thread):
    """One output of one camera: a short queue, and a thread that encodes and writes.

    A failure concerns this output alone: it is logged once, pictures are dropped as "output_failed" until the
    back-off is over, then the writer is tried again with the next picture. A picture's latency is counted once it
    is written, so that waiting in the queue, encoding and writing are part of it.

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
        on_event: Callable[[SinkEvent], None] | None = None,
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
        self._event = SinkEvent(camera, output, "starting")

    @property
    def event(self) -> SinkEvent:
        """The output's present state, with its reason."""
        return self._event

    def offer(self, picture: Picture) -> bool:
        """Queue ``picture``; never blocks. False, and a drop counted as "output_slow", if the queue is full."""
        with self._changed:
            taken = not self._closing and len(self._queue) < QUEUE
            if taken:
                self._queue.append(picture)
                self._changed.notify_all()
        if not taken:
            self._stats.count_dropped("output_slow")
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
        while (picture := self._next()) is not None:
            if self._retry_at is not None and self._clock.monotonic() < self._retry_at:
                self._stats.count_dropped("output_failed")
                continue
            try:
                self._writer.write(picture)
            except Exception as error:  # whatever an output does must stay with it
                self._stats.count_dropped("output_failed")
                self._fail(error)
            else:
                self._stats.count_latency(self._clock.monotonic() - picture.frame.decoded_at)
                self._failures, self._retry_at = 0, None
                self._change("writing")
        try:
            self._writer.close()
        except Exception as error:
            self._change("closed", reason_of(error), detail_of(error))
        else:
            self._change("closed")

    def _next(self) -> Picture | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            picture = self._queue.popleft() if self._queue else None
            self._changed.notify_all()
        return picture

    def _fail(self, error: Exception) -> None:
        """Give up what the writer has open, and set the time of the next try."""
        reason, detail = reason_of(error), detail_of(error)
        try:
            self._writer.close()
        except Exception as also:
            log.debug("%s: closing %s: %s", self._camera, self._output, detail_of(also))
        self._retry_at = self._clock.monotonic() + self._backoff.delay(self._failures, self._rng)
        self._failures += 1
        self._change("retrying", reason, detail)

    def _change(self, state: SinkState, reason: Reason | None = None, detail: str = "") -> None:
        """Log and tell a change of state or of its reason, once."""
        before, self._event = self._event, SinkEvent(self._camera, self._output, state, reason, detail)
        if (before.state, before.reason) == (state, reason):
            return
        text = f"{self._camera}: output {self._output} {state}"
        if reason is not None:
            text += f" ({reason}: {detail})"
        level = logging.WARNING if reason is not None else logging.INFO
        extra = {"event": f"output_{state}", "camera": self._camera, "output": self._output, "reason": reason}
        log.log(level, "%s", text, extra=extra)
        if self._on_event is not None:
            self._on_event(self._event)


def open_sink(
    output: CameraUrl | str,
    *,
    camera: str,
    stats: CameraStats,
    segment_seconds: float = 60.0,
    generated: bool = True,
    on_event: Callable[[SinkEvent], None] | None = None,
    backoff: Backoff = Backoff(),  # noqa: B008 - immutable
    rng: random.Random | None = None,
    clock: Clock | None = None,
) -> Sink:
    """A started sink for ``output``: segments for a path ending in ``.mp4``, a restream for ``rtsp://``.

    ``generated`` says whether generated pictures may come, which the output then notes in its metadata.
    Opens nothing yet: a server that is down or a folder that cannot be written is tried again from the sink's
    thread. Raises ValueError with ``output_fault``'s message for any other address.
    """
    url = CameraUrl(output) if isinstance(output, str) else output
    fault = output_fault(url)
    if fault is not None:
        raise ValueError(fault)
    writer: Writer
    if url.is_file:
        writer = SegmentWriter(template=str(url.path), segment_seconds=segment_seconds, generated=generated)
    else:
        writer = RestreamWriter(url=url, generated=generated)
    sink = Sink(
        writer,
        camera=camera,
        output=str(url),
        stats=stats,
        on_event=on_event,
        backoff=backoff,
        rng=rng,
        clock=clock,
    )
    sink.start()
    return sink


def output_fault(output: CameraUrl | str) -> str | None:
    """What is wrong with an ``outputs`` entry, in one line without its secrets; None if nothing is."""
    url = CameraUrl(output) if isinstance(output, str) else output
    ways = "use a path ending in .mp4 (strftime codes allowed) or rtsp://host/path"
    if url.is_file:
        if url.path.suffix != ".mp4":
            return f"output {url}: a file output must end in .mp4; {ways}"
        if re.match(r"file:", url.reveal(), re.IGNORECASE):
            return f"output {url}: write the path without file:, its % codes are the time's; {ways}"
        return None
    if url.scheme == "rtsp":
        if not re.match(r"rtsp://[^/]", url.reveal(), re.IGNORECASE):
            return f"output {url}: no host; {ways}"
        return None if url.port_is_usable else f"output {url}: has {NO_PORT}"
    if url.scheme in _LATER:
        return f"output {url}: {url.scheme} outputs are not built in yet; {ways}"
    return f"output {url}: {url.scheme!r} is no output; {ways}"
