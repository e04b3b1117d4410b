"""Ending FFmpeg's blocking calls early."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av.container.core


class Watch:
    """What may end a thread's blocking FFmpeg call early: an event, and a time limit."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event
        self._limit = math.inf
        self._ended = False

    def expect(self, seconds: float) -> None:
        """End FFmpeg's calls in this thread once ``seconds`` have passed from now; ``math.inf`` for never.

        PyAV's own timeouts start again with each packet of any stream, so a packet of audio alone keeps them from
        ending a wait for video.
        """
        self._limit = time.monotonic() + seconds

    def end(self) -> None:
        """End FFmpeg's calls in the watched thread, from any thread, whatever its limit."""
        self._ended = True

    @property
    def over_for_good(self) -> bool:
        """Whether the event is set or it was ended."""
        return self._ended or self._event.is_set()

    @property
    def over(self) -> bool:
        """Whether it is over for good, or the time is up."""
        return self.over_for_good or time.monotonic() > self._limit


class _InterruptibleTime:
    """Replaces the ``time`` module in PyAV's interrupt callback, which uses it to tell whether a timeout is over.

    FFmpeg calls that callback about every 100 ms while it is blocked, in the thread that is blocked, and PyAV has
    no other way to end a blocked call early. For a thread inside ``interruptible`` whose watch is over, each answer
    lies further in the future than the one before, so that every timeout appears to be over.
    """

    def __init__(self) -> None:
        self.local = threading.local()
        self._far = itertools.count(1)

    def monotonic(self) -> float:
        """``time.monotonic()``, unless the asking thread has been told to end."""
        watch: Watch | None = getattr(self.local, "watch", None)
        return time.monotonic() if watch is None or not watch.over else math.ldexp(next(self._far), 32)


_time = _InterruptibleTime()
# A PyAV without this module attribute is left alone: there a blocked call ends at its own timeout.
if getattr(av.container.core, "time", None) is time:
    av.container.core.time = _time  # type: ignore[attr-defined]


@contextmanager
def interruptible(watch: Watch) -> Iterator[Watch]:
    """End FFmpeg's blocking reads in this thread once ``watch`` is over: they fail within about 0.1 s.

    This works for sockets while connecting and reading, not for the name look-up before.
    """
    _time.local.watch = watch
    try:
        yield watch
    finally:
        _time.local.watch = None
