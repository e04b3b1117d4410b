"""Opening an RTSP camera: over TCP, or over UDP where it takes nothing else."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

import av.error

from ..core.camera_url import CameraUrl
from .base import Connection, ConnectionSettings, SourceLostError
from .connection import open_connection
from .damage import watching_damage
from .transport import Transport

# Bytes of a UDP socket's buffer, as far as the system grants them: a key frame of 4K comes as a burst of a megabyte.
UDP_OPTIONS = {"buffer_size": "4194304"}
NOT_RTSP = "what answers there does not speak RTSP; look at host and port (554 is usual), or at the scheme of the url"
# What cameras answer to a transport that they do not have, apart from 461, of which FFmpeg makes EPROTONOSUPPORT.
_REFUSALS = (av.error.HTTPBadRequestError, av.error.HTTPOtherClientError, av.error.HTTPServerError)


def open_rtsp(
    url: CameraUrl, options: Mapping[str, str], settings: ConnectionSettings, stack: ExitStack
) -> Connection:
    """A connection, which ``stack`` closes, over the first transport that the camera does not refuse.

    Args:
        url: the camera's address.
        options: FFmpeg's, to which those of RTSP are added.
        settings: limits, and what the connection reports to.
        stack: closes the connection.

    Raises SourceLostError.
    """
    # RTP over UDP would go unencrypted.
    order: tuple[Transport, ...] = settings.transport.order if url.scheme == "rtsp" else ("tcp",)
    refusals: list[SourceLostError] = []
    for transport in order:
        try:
            connection = _connect(url, transport, options, settings, stack)
        except SourceLostError as lost:
            if isinstance(lost.cause, av.error.InvalidDataError):
                raise SourceLostError("failed", NOT_RTSP) from None
            if not _refuses(lost):
                settings.transport.worked("tcp")  # or neither did, and it is asked for first the next time
                raise
            refusals.append(lost)
        else:
            settings.transport.worked(transport)
            return connection
    refusal = next((one for one in refusals if not _is_unsupported(one)), refusals[0])
    if _is_unsupported(refusal):
        asked = " nor over ".join(one.upper() for one in order)
        way_out = (
            "set transport: auto" if len(order) == 1 and url.scheme == "rtsp" else "look at its settings"
        )
        raise SourceLostError(
            "unsupported", f"the camera sends no RTP over {asked} (461); {way_out}"
        ) from None
    raise refusal


def _connect(
    url: CameraUrl,
    transport: Transport,
    options: Mapping[str, str],
    settings: ConnectionSettings,
    stack: ExitStack,
) -> Connection:
    media = "video" if settings.sound is None else "video+audio"
    options = {**options, "allowed_media_types": media, "rtsp_transport": transport}
    if transport == "tcp":
        opening = open_connection(url.reveal(), options=options, live=True, settings=settings)
        return stack.enter_context(opening)
    chosen = settings.transport.choice == "udp"
    advice = (
        "set transport: auto, which prefers TCP" if chosen else "let the camera send RTP over TCP if it can"
    )
    with ExitStack() as ours:
        watch = watching_damage(stats=settings.stats, warn=settings.warn, advice=advice, clock=settings.clock)
        settings = replace(settings, damage=ours.enter_context(watch))
        try:
            opening = open_connection(
                url.reveal(), options=options | UDP_OPTIONS, live=True, settings=settings
            )
            connection = ours.enter_context(opening)
        except SourceLostError as lost:
            if lost.reason != "timeout":
                raise
            detail = f"{lost.detail} over UDP: look whether a firewall keeps the camera's packets away"
            raise SourceLostError("timeout", detail) from None
        stack.enter_context(ours.pop_all())
    return connection


def _is_unsupported(lost: SourceLostError) -> bool:
    return getattr(lost.cause, "errno", None) == errno.EPROTONOSUPPORT


def _refuses(lost: SourceLostError) -> bool:
    """Whether it may be the transport that a camera refuses."""
    return _is_unsupported(lost) or isinstance(lost.cause, _REFUSALS)
