"""Publishing over WebRTC to a server that speaks WHIP (RFC 9725)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nightday.engines.distribution import INSTALL_WEBRTC

from ...core.backoff import Backoff
from ...core.camera_url import PORT_FAULT, CameraUrl
from ..module import H264, WEBRTC_SOUNDS, OutputSettings

if TYPE_CHECKING:
    from ...core.faults import OutputReason
    from ..writer import Writer

address_form = "whip(s)://host/path"
advice: Mapping[OutputReason, str] = {
    "refused": "Nothing accepts connections there. Is the server on, and are address and port right?",
    "unauthorised": "The server refuses the token: put it right in its url (?token=…).",
    "not_found": "There is no such place: look at the path.",
    "timeout": "The server does not answer, or nothing comes through to it by UDP: look at its firewall and at its "
    "ports for WebRTC.",
    "stall": "The pictures are not sent: this machine has too much to do.",
    "end_of_stream": "The server ended the connection.",
    "unreachable": "There is no way to this address. Look at the network.",
    "denied": "This machine does not permit the connection: look at its firewall.",
}
backoff = Backoff()
sounds = WEBRTC_SOUNDS
codecs = H264


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address of a stream; None if nothing is."""
    from .session import Target

    if not url.port_is_usable:
        return f"has {PORT_FAULT}"
    try:
        Target.of(url)
    except ValueError as error:
        return str(error)
    if importlib.util.find_spec("aiortc") is None:
        return f"needs aiortc; install it with: {INSTALL_WEBRTC}"
    return None


def folder(url: CameraUrl) -> None:
    """It writes no files."""


def make_writer(url: CameraUrl, settings: OutputSettings) -> Writer:
    """A writer that publishes to ``url``."""
    from .writer import WhipWriter

    return WhipWriter(
        url=url,
        encoder=settings.encoder,
        camera=settings.camera,
        publish=settings.publish,
        clock=settings.clock,
    )
