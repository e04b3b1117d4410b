"""Named pipes, into which another program writes a video."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..core.camera_url import CameraUrl
from ..core.faults import FaultReason
from .base import Connection, ConnectionSettings, SourceLostError

# What comes through the pipe must not have another file opened.
OPTIONS = {"fpsprobesize": "0", "protocol_whitelist": "pipe"}
# Seconds between looks at whether to stop. A pipe can be waited for, but not beside an event.
STOP_CHECK = 0.1

ADVICE: Mapping[FaultReason, str] = {
    "not_found": "The pipe is not there any more: make it anew with mkfifo.",
    "timeout": "Nobody writes into the pipe. Does the program run that should?",
    "stall": "The program that writes into the pipe has fallen silent.",
    "end_of_stream": "The program that wrote into the pipe has ended.",
    "decode": "What comes through the pipe cannot be decoded. Is it a video that can be read in one go, such as "
    "MPEG-TS or Matroska?",
    "unsupported": "Its codec is not known here. Write H.264 or H.265.",
}


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the pipe, to be read after its path; None if nothing is."""
    return None if os.access(url.path, os.R_OK) else "cannot be read: Permission denied"


@contextmanager
def open_source(url: CameraUrl, settings: ConnectionSettings) -> Iterator[Connection]:
    """A context manager that opens the pipe and waits for somebody to write into it. Raises SourceLostError."""
    from .connection import open_connection

    try:
        # Opened so, it does not wait for a writer, which could not be ended.
        descriptor = os.open(url.path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        reason: FaultReason = "not_found" if isinstance(error, FileNotFoundError) else "failed"
        raise SourceLostError(reason, error.strerror or str(error), cause=error) from None
    try:
        pipe = PipeReader(descriptor, settings)
        # A clip that is written into it, whose end is known, is not taken faster than it plays.
        with open_connection(pipe, options=OPTIONS, live=None, settings=settings) as connection:
            yield connection
    finally:
        os.close(descriptor)


class PipeReader:
    """Reads a pipe for FFmpeg, which cannot be ended while it waits for one itself.

    Args:
        descriptor: of the pipe, which does not block.
        settings: its limits and its ``stop`` end waiting.
    """

    def __init__(self, descriptor: int, settings: ConnectionSettings) -> None:
        self._descriptor = descriptor
        self._settings = settings
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._began = False

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, at least one; none at the end. Raises SourceLostError after too long a silence."""
        patience = self._settings.stall_timeout if self._began else self._settings.open_timeout
        until = time.monotonic() + patience
        while not self._settings.stop.is_set():
            if not self._poll.poll(STOP_CHECK * 1000):
                if time.monotonic() > until:
                    reason: FaultReason = "stall" if self._began else "timeout"
                    raise SourceLostError(reason, f"nobody wrote into the pipe for {patience:g} s")
                continue
            self._began = True
            return os.read(self._descriptor, size)
        return b""
