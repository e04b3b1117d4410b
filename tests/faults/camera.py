"""A reader under test with everything around it, and what its process uses."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats, DropReason
from nightday.pipeline.core.event_log import to_log
from nightday.pipeline.core.events import Event, SourceChanged
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.sources.reader import Reader
from tests.support.media_helpers import Events, KeepingSlot, stopping
from tests.support.rtsp_server import WAIT

SOON = Backoff(first=0.05, cap=0.1, floor=0.01)


class CountingSlot(KeepingSlot):
    """Takes every frame at once and keeps the last one only."""

    def __init__(self, stats: CameraStats) -> None:
        super().__init__(stats)
        self.count = 0

    def put(self, frame: Frame, *, reason: DropReason = "overload") -> None:
        with self._ready:
            self.frames[:] = [frame]
            self.count += 1
            self._ready.notify_all()


class Camera:
    """A reader that takes every frame; a context manager, which must end at once."""

    def __init__(self, url: str, *, keep: bool = True, slot: Any = None, **options: Any) -> None:
        self.stats, self.events, self.stop = CameraStats(), Events(), threading.Event()
        self.slot = slot or (KeepingSlot(self.stats) if keep else CountingSlot(self.stats))
        # A test that measures memory passes a ``publish`` of its own, so that the list of events does not grow.
        usual: dict[str, Any] = {"publish": self._published, "backoff": SOON, "unauthorised_backoff": SOON}
        self.reader = Reader(
            camera="gate",
            source=CameraUrl(url),
            slot=self.slot,
            stats=self.stats,
            stop=self.stop,
            **(usual | {"rng": random.Random(1)} | options),
        )

    def _published(self, event: Event) -> None:
        to_log(event)
        if isinstance(event, SourceChanged):
            self.events(event)

    def __enter__(self) -> Camera:
        self._running = stopping(self.reader, self.stop)
        self._running.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._running.__exit__(*exception)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds``, which is asked at each frame."""
        with self.slot._ready:
            assert self.slot._ready.wait_for(holds, WAIT), (self.reader.event, self.stats.snapshot())

    def wait_more(self, count: int) -> list[Frame]:
        """Wait for ``count`` more decoded frames; all that are kept."""
        wanted = self.stats.snapshot().decoded + count
        self.wait_until(lambda: self.stats.snapshot().decoded >= wanted)
        return list(self.slot.frames)

    def wait_state(self, state: str, *, reason: str | None = None, times: int = 1) -> None:
        """Wait until ``state`` (for ``reason``) has come ``times`` times."""
        self.events.wait_for(
            lambda _: (
                sum(event.state == state and reason in (None, event.reason) for event in self.events) >= times
            )
        )

    def wait_playing(self, times: int) -> None:
        """Wait until it has begun to play for the ``times``th time."""
        self.wait_state("playing", times=times)


def size_of(frame: Frame) -> tuple[int, int]:
    """Width and height."""
    return frame.video.width, frame.video.height


def rising(frames: list[Frame]) -> bool:
    """Whether every PTS is greater than the one before."""
    return all(later.pts > earlier.pts for earlier, later in pairwise(frames))


def steps(frames: list[Frame]) -> list[float]:
    """Seconds from each frame to the next by their PTS."""
    return [float((later.pts - earlier.pts) * later.time_base) for earlier, later in pairwise(frames)]
