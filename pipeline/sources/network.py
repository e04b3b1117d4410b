"""Cameras and streams on the network, which FFmpeg reads: RTSP, HTTP, SRT and RTMP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager

from ..core.camera_url import PORT_FAULT, CameraUrl
from ..core.faults import FaultReason
from .base import WAYS, Connection, ConnectionSettings

# What a source may open in turn. An HLS play list on the network must not read a local file, for instance.
PROTOCOLS = {
    "rtsp": "rtsp,rtp,tcp,udp",
    "rtsps": "rtsps,rtsp,rtp,tcp,udp,tls",
    "http": "http,https,tcp,tls,crypto",
    "https": "https,http,tcp,tls,crypto",
    "rtmp": "rtmp,rtmpt,tcp,http,ffrtmphttp",
    "rtmps": "rtmps,tcp,tls",
    "srt": "srt",
}

ADVICE: Mapping[FaultReason, str] = {
    "refused": "Nothing accepts connections there. Is the camera on, and are address and port right?",
    "unauthorised": "It refuses user name or password: put them right in the url. "
    "It is tried rarely, since many cameras lock an account after a few failures.",
    "not_found": "The camera has no such stream: look at the url's path.",
    "timeout": "No answer. Is the camera on, and is the address right?",
    "stall": "It answered, but no pictures come any more. Look at its network, or restart it.",
    "end_of_stream": "The camera closed the connection. If it happens often, look at how many viewers it allows.",
    "decode": "What it sends cannot be decoded. Set its video to H.264 or H.265, and look at its network.",
    "unreachable": "There is no way to this address. Look at the network of this machine and of the camera.",
    "unsupported": "Its codec or protocol is not known here. Set its video to H.264 or H.265.",
}


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address, to be read after it; None if nothing is."""
    if not re.match(r"[^:]+://[^/?#]", url.reveal()):
        return f"has no host; {WAYS}"
    return None if url.port_is_usable else f"has {PORT_FAULT}"


def open_source(url: CameraUrl, settings: ConnectionSettings) -> AbstractContextManager[Connection]:
    """A context manager that connects to ``url``. Raises SourceLostError."""
    from .connection import open_connection

    # Frame-rate probing makes FFmpeg hold a live stream back for a second at the start: 1.13 s instead of 0.32 s
    # until the first frame of a 25 fps camera. The parameter sets are still waited for.
    options = {"fpsprobesize": "0", "protocol_whitelist": PROTOCOLS[url.scheme]}
    if url.scheme in ("rtsp", "rtsps"):
        options |= {"rtsp_transport": "tcp", "allowed_media_types": "video"}
    return open_connection(url.reveal(), options=options, live=True, settings=settings)
