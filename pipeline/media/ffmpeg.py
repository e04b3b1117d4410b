"""Opening video sources with FFmpeg: how a source is opened, why it failed, and how a blocked call is ended.

FFmpeg and PyAV put the URL with its password into exceptions and log lines. So their texts must not leave the caller:
a failure becomes a ``FaultReason`` and FFmpeg's own text for the error number, which holds no URL.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

import av
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
