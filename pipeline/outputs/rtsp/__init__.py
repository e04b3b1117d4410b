"""Publishing to an RTSP server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...core.backoff import Backoff
from ...core.camera_url import PORT_FAULT, CameraUrl
from ..module import H264_H265, RTSP_SOUNDS, OutputSettings

if TYPE_CHECKING:
    from ...core.faults import OutputReason
    from ..writer import Writer

address_form = "rtsp://host/path"
advice: Mapping[OutputReason, str] = {
    "refused": "Nothing accepts connections there. Is the server on, and are address and port right?",
    "unauthorised": "The server refuses user name or password, or publishing: put them right in its url.",
    "not_found": "There is no such place: look at the path.",
    "timeout": "The server does not answer.",
    "stall": "The server does not take the pictures.",
    "end_of_stream": "The server closed the connection. If it is go2rtc, list the path in its `streams:`, where an "
    "empty source is enough.",
    "unreachable": "There is no way to this address. Look at the network.",
    "denied": "This machine does not permit the connection: look at its firewall.",
}
backoff = Backoff()
sounds = RTSP_SOUNDS
codecs = H264_H265


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address of a stream; None if nothing is."""
    if not re.match(r"rtsp://[^/]", url.reveal(), re.IGNORECASE):
        return f"no host; use {address_form}"
    return None if url.port_is_usable else f"has {PORT_FAULT}"


def folder(url: CameraUrl) -> None:
    """It writes no files."""


def make_writer(url: CameraUrl, settings: OutputSettings) -> Writer:
    """A writer that records to ``url``, its login included."""
    from .writer import RestreamWriter

    return RestreamWriter(
        url=url,
        generated=settings.generated,
        encoder=settings.encoder,
        camera=settings.camera,
        publish=settings.publish,
        clock=settings.clock,
    )
