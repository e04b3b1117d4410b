"""What all that goes out over WebRTC shares: aiortc's connections, which send pictures as they were encoded."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
)

# They tell of each pair of addresses that they try.
for _library in ("aioice", "aiortc"):
    logging.getLogger(_library).setLevel(logging.WARNING)


def sending_peer(track: MediaStreamTrack) -> tuple[RTCPeerConnection, RTCRtpTransceiver]:
    """A connection that sends ``track`` as H.264, and nothing else; it asks no STUN server. For a loop's thread."""
    # No STUN server: nothing but the other end is asked.
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer.addTransceiver(track, direction="sendonly")
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in capabilities if codec.mimeType == "video/H264"])
    return peer, transceiver


def tell_of_key_wishes(sender: RTCRtpSender, wanted: Callable[[], None]) -> None:
    """Have ``wanted`` called when the other end asks for a key frame (PLI or FIR, RFC 4585 and 5104).

    aiortc keeps that wish for an encoder of its own and tells nobody else.
    """
    sender._send_keyframe = wanted  # type: ignore[method-assign]
