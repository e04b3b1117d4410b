"""Opening video sources with FFmpeg: how a source is opened, why it failed, and how a blocked call is ended.

FFmpeg and PyAV put the URL, password and all, into exceptions and log lines. So nothing of theirs leaves this
package: failures become a ``Reason`` and FFmpeg's own text for the error number, which holds no URL.
"""

from __future__ import annotations

import errno
import itertools
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av
import av.container.core
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from ..core.faults import FaultReason

_REASONS: tuple[tuple[tuple[type[BaseException], ...], FaultReason], ...] = (
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError), "unauthorised"),
    ((av.error.HTTPNotFoundError, FileNotFoundError), "not_found"),
    ((ConnectionRefusedError,), "refused"),
    ((av.error.ExitError, TimeoutError), "timeout"),
    ((EOFError, ConnectionError), "end_of_stream"),
    ((av.error.InvalidDataError, av.error.DecoderNotFoundError, av.error.PatchWelcomeError), "decode"),
    ((av.error.ProtocolNotFoundError, av.error.DemuxerNotFoundError), "unsupported"),
)
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


def reason_of(error: BaseException) -> FaultReason:
    """The typed reason of an exception from FFmpeg or the operating system."""
    for kinds, reason in _REASONS:
        if isinstance(error, kinds):
            return reason
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "unreachable"
    return "failed"


def open_input(
    address: str,
    *,
    container_format: str | None = None,
    options: Mapping[str, str] | None = None,
    open_timeout: float,
    stall_timeout: float,
    hwaccel: HWAccel | None = None,
) -> InputContainer:
    """Open an address, with its secrets, for reading. Raises what PyAV raises, with the address in it.

    Args:
        address: what FFmpeg is to open.
        container_format: FFmpeg's name of the format, where it cannot tell by itself.
        options: FFmpeg's options for protocol and format.
        open_timeout: seconds that opening may take.
        stall_timeout: seconds that a read may take.
        hwaccel: what decodes, if it can.
    """
    return av.open(
        address,
        format=container_format,
        options=dict(options or {}),
        timeout=(open_timeout, stall_timeout),
        hwaccel=hwaccel,
    )


class Watch:
    """What may end a thread's blocking FFmpeg call early: the event it was made with, and a limit of time."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event
        self._limit = math.inf

    def expect(self, seconds: float) -> None:
        """End FFmpeg's calls in this thread once ``seconds`` have passed from now; ``math.inf`` for never.

        PyAV's own timeouts begin anew with each packet of any stream, and one of another stream is none here.
        """
        self._limit = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether the event is set or the time is up."""
        return self._event.is_set() or time.monotonic() > self._limit


class _InterruptibleTime:
    """Stands for the ``time`` module in PyAV's interrupt callback, which asks it whether a timeout is over.

    FFmpeg asks that callback about every 100 ms while it is blocked, in the thread that is blocked, and PyAV has
    no other way to end a blocked call early. For a thread inside ``interruptible`` whose watch is over, the
    time asked for lies further in the future with each question, so that whatever runs is over its limit.
    """

    def __init__(self) -> None:
        self.local = threading.local()
        self._far = itertools.count(1)

    def monotonic(self) -> float:
        """``time.monotonic()``, unless the asking thread has been told to end."""
        watch: Watch | None = getattr(self.local, "watch", None)
        return time.monotonic() if watch is None or not watch.over else math.ldexp(next(self._far), 32)


_time = _InterruptibleTime()
if getattr(av.container.core, "time", None) is time:  # elsewhere a blocked call ends at its timeout
    av.container.core.time = _time  # type: ignore[attr-defined]


@contextmanager
def interruptible(event: threading.Event) -> Iterator[Watch]:
    """End FFmpeg's blocking reads in this thread once ``event`` is set: they fail within about 0.1 s.

    It reaches sockets while connecting and reading, not the name look-up before. The watch given sets limits of
    time in the same way.
    """
    _time.local.watch = watch = Watch(event)
    try:
        yield watch
    finally:
        _time.local.watch = None
