"""Opening video sources with FFmpeg: how a source is opened, why it failed, and how a blocked call is ended.

FFmpeg and PyAV put the URL with its password into exceptions and log lines. So their texts must not leave the caller:
a failure becomes a ``FaultReason`` and FFmpeg's own text for the error number, which holds no URL.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Protocol

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


class BinaryInput(Protocol):
    """A file object that FFmpeg reads from."""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, at least one; none at the end."""
        ...


def open_input(
    address: str | BinaryInput,
    *,
    container_format: str | None = None,
    options: Mapping[str, str] | None = None,
    open_timeout: float,
    stall_timeout: float,
    hwaccel: HWAccel | None = None,
) -> InputContainer:
    """Open an address, with its secrets, for reading. Raises what PyAV raises, with the address in it.

    Args:
        address: what FFmpeg is to open, or a file object that it reads from.
        container_format: FFmpeg's name of the format, where it cannot tell by itself.
        options: FFmpeg's options for protocol and format.
        open_timeout: seconds that opening may take.
        stall_timeout: seconds that a read may take.
        hwaccel: what decodes, if it can.
    """
    return av.open(
        address,
        "r",
        format=container_format,
        options=dict(options or {}),
        timeout=(open_timeout, stall_timeout),
        hwaccel=hwaccel,
    )


# Formats that name no duration where they cannot seek, but whose end is known by their size.
_SIZED = ("mpegts", "mpeg")
# Formats of a single picture.
_PICTURES = ("image2", "image2pipe")


def has_end(container: InputContainer) -> bool:
    """Whether what was opened is a clip with an end, rather than a live stream."""
    if container.duration is not None:
        return True
    return container.format.name in _SIZED and container.size > 0


def is_picture(container: InputContainer) -> bool:
    """Whether what was opened is one picture, a JPEG for instance, rather than a video."""
    name = container.format.name
    return name in _PICTURES or name.endswith("_pipe")


def reads_protocol(scheme: str) -> bool:
    """Whether FFmpeg, as PyAV brings it, knows how to read ``scheme://``. Nothing leaves this machine for it."""
    try:
        with av.open(f"{scheme}://"):
            return True
    except av.error.ProtocolNotFoundError:
        return False
    except Exception:  # an address without a host is refused by a protocol that is there
        return True
