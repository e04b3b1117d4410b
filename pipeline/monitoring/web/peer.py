"""One who watches over WebRTC. aiortc packs, encrypts and sends pictures and sound as they were encoded.

It runs in the loop of the HTTP server. Nothing here waits for a viewer: what is sent over UDP is gone.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from nightday.engines.errors import NightdayError

from ...outputs.live.timed import TICKS, picture_of
from ...outputs.webrtc import MIME_TYPES, new_peer, packet_of, sends, tell_of_key_wishes
from .live import FIRST_WITHIN, ViewerPieces

# Seconds from the answer until packets must go through, and for hanging up.
CONNECT_WITHIN = 10.0
CLOSE_WITHIN = 5.0
# Media that may be offered: pictures, sound and data.
MOST_MEDIA = 3
# Packets of sound that may wait to be sent.
MOST_SOUND = 50
_TICK = Fraction(1, TICKS)


class OfferError(NightdayError, ValueError):
    """An offer cannot be answered. The message is one line and says why."""


class PeerViewer:
    """One viewer, from its offer until either end has enough. For one loop.

    Args:
        watch: begins its stream, once it is connected: nothing is encoded for offers.
        sound: the codec of the camera's sound, by FFmpeg's name; None without any that WebRTC takes.
    """

    def __init__(self, watch: Callable[[], ViewerPieces], *, sound: str | None = None) -> None:
        self._sound = sound
        self._track = _Track(watch)
        self._peer = new_peer()
        transceiver = sends(self._peer, self._track, "h264")
        tell_of_key_wishes(transceiver.sender, self._track.want_key)
        self._changed = asyncio.Event()
        self._ended = False
        self._peer.on("connectionstatechange", self._changed.set)
        self._track.on("ended", self.end)

    async def answer(self, offer: str) -> str:
        """The answer to ``offer``, as SDP. Raises OfferError."""
        media = [line for line in offer.splitlines() if line.startswith("m=")]
        if len(media) > MOST_MEDIA or [line[:8] for line in media].count("m=video ") != 1:
            raise OfferError(f"offer to receive one video, and no more than {MOST_MEDIA} media")
        if "\na=fingerprint:" not in offer:
            raise OfferError("the offer has no fingerprint")
        if self._sound is not None and offers(offer, self._sound):
            self._track.sound = _SoundTrack()
            sends(self._peer, self._track.sound, self._sound)
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await self._peer.setLocalDescription(await self._peer.createAnswer())
        except Exception as error:  # whatever strange offers bring about
            raise OfferError("the offer cannot be understood, or has no H.264 that can be sent") from error
        if not self._sends:
            raise OfferError("the offer does not want to receive the video")
        if "\na=candidate:" not in self._peer.localDescription.sdp:
            raise OfferError("this machine has no address on a network; watch at /live/NAME.mp4")
        answer: str = self._peer.localDescription.sdp
        return answer

    async def last(self) -> None:
        """Return once it is over, with nothing left of it."""
        try:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._while_in("new", "connecting"), CONNECT_WITHIN)
            await self._while_in("connected")
        finally:
            self._track.stop()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._peer.close(), CLOSE_WITHIN)

    def end(self) -> None:
        """Have it end."""
        self._ended = True
        self._changed.set()

    @property
    def _sends(self) -> bool:
        transceivers = self._peer.getTransceivers()
        return any(one.kind == "video" and one.currentDirection == "sendonly" for one in transceivers)

    async def _while_in(self, *states: str) -> None:
        while self._peer.connectionState in states and not self._ended:
            self._changed.clear()
            await self._changed.wait()


class _Track(MediaStreamTrack):
    """What one viewer watches, as aiortc takes it."""

    kind = "video"

    def __init__(self, watch: Callable[[], ViewerPieces]) -> None:
        super().__init__()
        self._watch = watch
        self._pieces: ViewerPieces | None = None
        self.sound: _SoundTrack | None = None
        """What takes the sound; None where none was asked for."""

    async def recv(self) -> av.Packet[Any]:
        """The next picture; asked for once the viewer is connected. Raises MediaStreamError once none will come."""
        if self.readyState != "live":
            raise MediaStreamError
        within = None
        if self._pieces is None:
            try:
                self._pieces, within = self._watch(), FIRST_WITHIN
            except KeyError:  # the camera was taken away meanwhile
                self.stop()
                raise MediaStreamError from None
        piece = await self._pieces.next(within=within)
        if piece is None:
            self.stop()
            raise MediaStreamError
        picture = picture_of(piece)
        if self.sound is not None:
            for at, data in picture.sound:
                self.sound.put(packet_of(data, at, _TICK))
        return packet_of(picture.data, picture.at, _TICK)

    def want_key(self) -> None:
        """Ask for a key frame."""
        if self._pieces is not None:
            self._pieces.want_key()

    def stop(self) -> None:
        """Want no more."""
        super().stop()
        if self._pieces is not None:
            self._pieces.leave()
        if self.sound is not None:
            self.sound.stop()


class _SoundTrack(MediaStreamTrack):
    """The sound beside it. What is not taken in time goes, the oldest first."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._packets: deque[av.Packet[Any]] = deque(maxlen=MOST_SOUND)
        self._came = asyncio.Event()

    def put(self, packet: av.Packet[Any]) -> None:
        """Have one packet sent."""
        self._packets.append(packet)
        self._came.set()

    async def recv(self) -> av.Packet[Any]:
        """The next packet. Raises MediaStreamError once none will come."""
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._came.clear()
            await self._came.wait()
        return self._packets.popleft()

    def stop(self) -> None:
        """Nothing more will come."""
        super().stop()
        self._came.set()


def offers(offer: str, codec: str) -> bool:
    """Whether an offer has sound of a codec, by FFmpeg's name, in it."""
    wanted = MIME_TYPES[codec].partition("/")[2]
    return re.search(rf"^a=rtpmap:\d+ {wanted}/", offer, re.IGNORECASE | re.MULTILINE) is not None
