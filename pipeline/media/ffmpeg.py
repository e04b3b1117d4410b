"""Opening video sources with FFmpeg: what each kind of address may do, and why it failed.

FFmpeg and PyAV put the URL with its password into exceptions and log lines. So their texts must not leave the caller:
a failure becomes a ``FaultReason`` and FFmpeg's own text for the error number, which holds no URL.
"""

from __future__ import annotations

import errno

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from ..core.camera_url import CameraUrl
from ..core.faults import FaultReason

# What a source may open in turn: a playlist on the network must not read a local file, nor a file the network.
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,tcp,udp",
    "rtsps": "rtsps,rtsp,rtp,tcp,udp,tls",
    "http": "http,https,tcp,tls,crypto",
    "https": "https,http,tcp,tls,crypto",
    "rtmp": "rtmp,rtmpt,tcp,http,ffrtmphttp",
    "rtmps": "rtmps,tcp,tls",
    "srt": "srt",
    "file": "file",
}

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


def input_arguments(source: CameraUrl) -> tuple[str, str | None, dict[str, str]]:
    """What ``av.open`` is given for ``source``: address (with its secrets), format or None, options."""
    scheme = source.scheme
    if source.is_file:
        return f"file:{source.path}", None, {"protocol_whitelist": _PROTOCOLS["file"]}
    if scheme == "device":
        return f"/dev/video{source.reveal().partition(':')[2]}", "video4linux2", {}
    # Without frame-rate probing a live stream's first frame comes 0.8 s sooner. FFmpeg still waits for the parameter
    # sets.
    options = {"fpsprobesize": "0"}
    if scheme in _PROTOCOLS:
        options["protocol_whitelist"] = _PROTOCOLS[scheme]
    if scheme in ("rtsp", "rtsps"):
        options |= {"rtsp_transport": "tcp", "allowed_media_types": "video"}
    return source.reveal(), None, options


def open_input(
    source: CameraUrl, *, open_timeout: float, stall_timeout: float, hwaccel: HWAccel | None = None
) -> InputContainer:
    """Open ``source`` for reading; both timeouts in seconds. ``hwaccel`` decodes, if it can.

    Raises what PyAV raises. The caller turns it into a reason at once: its text may hold the address.
    """
    address, format_name, options = input_arguments(source)
    return av.open(
        address, format=format_name, options=options, timeout=(open_timeout, stall_timeout), hwaccel=hwaccel
    )
