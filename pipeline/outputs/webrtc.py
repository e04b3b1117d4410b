"""What goes out over WebRTC: aiortc's connections, which send pictures and sound as they were encoded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
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


# What aiortc calls codecs, by FFmpeg's names.
MIME_TYPES = {
    "h264": "video/H264",
    "opus": "audio/opus",
    "pcm_alaw": "audio/PCMA",
    "pcm_mulaw": "audio/PCMU",
}


def new_peer() -> RTCPeerConnection:
    """A connection that asks no STUN server: nothing but the other end is asked. For a loop's thread."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def sends(peer: RTCPeerConnection, track: MediaStreamTrack, codec: str) -> RTCRtpTransceiver:
    """What sends ``track`` over ``peer``, by FFmpeg's name of its codec, and in no other one."""
    transceiver = peer.addTransceiver(track, direction="sendonly")
    capabilities = RTCRtpSender.getCapabilities(track.kind).codecs
    wanted = MIME_TYPES[codec]
    transceiver.setCodecPreferences([one for one in capabilities if one.mimeType == wanted])
    return transceiver


def packet_of(data: bytes, at: int, time_base: Fraction) -> av.Packet[Any]:
    """Encoded data as aiortc takes it, ``at`` ticks of ``time_base``."""
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts, packet.time_base = at, time_base
    return packet


def tell_of_key_wishes(sender: RTCRtpSender, wanted: Callable[[], None]) -> None:
    """Have ``wanted`` called when the other end asks for a key frame (PLI or FIR, RFC 4585 and 5104).

    aiortc keeps that wish for an encoder of its own and tells nobody else.
    """
    sender._send_keyframe = wanted  # type: ignore[method-assign]
