"""A camera that never waits, and a look at who else gets to run, for the tests of outputs that fail."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np

from nightday.pipeline.outputs.output import Output
from tests.support.media_helpers import Events, picture
from tests.support.rtsp_server import WAIT

FRAME = 512  # ticks of a frame at 25 fps
RATE = 25


class Camera:
    """A camera at 25 fps that offers every picture to all its outputs, as the loop does, until it is stopped.

    Its pictures are noise, which no codec can make small. ``sent`` holds their PTS; ``tick`` is released with each.
    ``size`` is width and height. A ``recording`` is waited for: on a busy machine its thread may be late by more than
    its queue holds. ``held`` is the longest that took, in seconds.
    """

    def __init__(
        self, *outputs: Output, recording: Output | None = None, size: tuple[int, int] = (64, 48)
    ) -> None:
        self.outputs = outputs
        self.recording = recording
        self.held = 0.0
        self.size = size
        self.sent: list[int] = []
        self._stopped = threading.Event()
        self.tick = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join(WAIT)
        recordings = () if self.recording is None else (self.recording,)
        assert all(output.close(WAIT) for output in (*self.outputs, *recordings))

    def _run(self) -> None:
        noise = np.random.default_rng(1)
        width, height = self.size
        while not self._stopped.wait(1 / RATE):
            pts = (len(self.sent) + 1) * FRAME
            shown = picture(
                pts, rgb=noise.integers(0, 256, (height, width, 3), np.uint8), wall_time=time.time()
            )
            for output in self.outputs:
                output.offer(shown)
            if self.recording is not None:
                began = time.monotonic()
                self.recording.put_wait(shown, cancelled=threading.Event())
                self.held = max(self.held, time.monotonic() - began)
            self.sent.append(pts)
            self.tick.release()


@contextlib.contextmanager
def heartbeat() -> Iterator[list[float]]:
    """Moments at which another Python thread got to run, every 10 ms if nothing holds the interpreter."""
    beats, ended = [time.monotonic()], threading.Event()

    def beat() -> None:
        while not ended.wait(0.01):
            beats.append(time.monotonic())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield beats
    finally:
        ended.set()
        thread.join(WAIT)
        beats.append(time.monotonic())


def states(events: Events) -> list[str]:
    return [event.state for event in list(events)]
