"""Publishing to an RTMP server, over TLS as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...core.backoff import Backoff
from ...core.camera_url import PORT_FAULT, CameraUrl
from ..module import H264, RTMP_SOUNDS, OutputSettings

if TYPE_CHECKING:
    from ...core.faults import OutputReason
    from ..writer import Writer

address_form = "rtmp(s)://host/app/key"
advice: Mapping[OutputReason, str] = {
    "refused": "Nothing accepts connections there. Is the server on, and are address and port right?",
    "unauthorised": "The server refuses the key, or somebody publishes under it already: look at both.",
    "not_found": "There is no such application: look at the path.",
    "timeout": "The server does not answer.",
    "stall": "The server does not take the pictures.",
    "end_of_stream": "The server closed the connection. Some do so where the key is wrong or sound is missing.",
    "unreachable": "There is no way to this address. Look at the network.",
    "denied": "This machine does not permit the connection: look at its firewall.",
}
backoff = Backoff()
sounds = RTMP_SOUNDS
codecs = H264


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address of a stream; None if nothing is."""
    from .client import Target

    if not url.port_is_usable:
        return f"has {PORT_FAULT}"
    try:
        Target.of(url)
    except ValueError as error:
        return str(error)
    return None


def folder(url: CameraUrl) -> None:
    """It writes no files."""


def make_writer(url: CameraUrl, settings: OutputSettings) -> Writer:
    """A writer that publishes to ``url``."""
    from ..encoding.encoder import title_of
    from ..restream.writer import Restreamer
    from .connection import RtmpConnection

    title = title_of(generated=settings.generated)
    return Restreamer(
        connect=lambda first: RtmpConnection(url, first, title=title),
        sounds=sounds,
        encoder=settings.encoder,
        clock=settings.clock,
    )
