"""RTP packets that were lost on the way, of which FFmpeg tells in its log alone."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

_MISSED = re.compile(r"RTP: missed (\d+) packets")
_LOGGER = logging.getLogger("libav")

_here = threading.local()
_lock = threading.Lock()
_listeners = 0


class LostPackets:
    """Counts the packets that FFmpeg misses in the thread that demuxes, while inside ``listening``."""

    def __init__(self) -> None:
        self._lost = 0

    def count_here(self) -> None:
        """Count what this thread demuxes from now on; FFmpeg's log names a thread, but no source."""
        _here.counter = self

    def take(self) -> int:
        """How many packets were lost since the last call. For the thread that demuxes."""
        lost, self._lost = self._lost, 0
        return lost

    def add(self, lost: int) -> None:
        """FFmpeg has told of ``lost`` packets."""
        self._lost += lost


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        counter: LostPackets | None = getattr(_here, "counter", None)
        found = _MISSED.search(record.getMessage()) if counter is not None else None
        if counter is not None and found:
            counter.add(int(found[1]))


_HANDLER = _Handler()


@contextmanager
def listening() -> Iterator[LostPackets]:
    """While inside, FFmpeg's log is listened to; a counter for the one who demuxes.

    Where the log is off, it stays so for everybody else. It is on only while somebody listens, because each line
    costs a call into Python from FFmpeg's threads, whatever source it is about.
    """
    _change(+1)
    try:
        yield LostPackets()
    finally:
        _change(-1)


def _change(by: int) -> None:
    global _listeners
    with _lock:
        before, _listeners = _listeners, _listeners + by
        if before == 0:
            _LOGGER.addHandler(_HANDLER)
            av.logging.set_skip_repeated(False)  # the same number may be lost twice
            if av.logging.get_level() is None:
                _LOGGER.propagate = False
                av.logging.set_level(av.logging.WARNING)
        elif _listeners == 0:
            _LOGGER.removeHandler(_HANDLER)
            av.logging.set_skip_repeated(True)
            if not _LOGGER.propagate:
                _LOGGER.propagate = True
                av.logging.set_level(None)
