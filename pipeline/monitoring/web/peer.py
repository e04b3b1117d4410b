"""One who watches over WebRTC. aiortc packs, encrypts and sends the pictures as they were encoded.

It runs in the loop of the HTTP server. Nothing here waits for a viewer: what is sent over UDP is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from nightday.engines.errors import NightdayError

from ...outputs.live.timed import TICKS, picture_of
from ...outputs.webrtc import sending_peer, tell_of_key_wishes
from .live import FIRST_WITHIN, ViewerPieces

# Seconds from the answer until packets must go through, and for hanging up.
CONNECT_WITHIN = 10.0
CLOSE_WITHIN = 5.0
# Media that may be offered: pictures, sound and data; of those only the pictures are answered with something.
MOST_MEDIA = 3


class OfferError(NightdayError, ValueError):
    """An offer cannot be answered. The message is one line and says why."""


class PeerViewer:
    """One viewer, from its offer until either end has enough. For one loop.

    Args:
        watch: begins its stream, once it is connected: nothing is encoded for offers.
    """

    def __init__(self, watch: Callable[[], ViewerPieces]) -> None:
        self._track = _Track(watch)
        self._peer, transceiver = sending_peer(self._track)
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
        return any(one.currentDirection == "sendonly" for one in self._peer.getTransceivers())

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
        ticks, picture = picture_of(piece)
        packet: av.Packet[Any] = av.Packet(picture)
        packet.pts, packet.time_base = ticks, Fraction(1, TICKS)
        return packet

    def want_key(self) -> None:
        """Ask for a key frame."""
        if self._pieces is not None:
            self._pieces.want_key()

    def stop(self) -> None:
        """Want no more."""
        super().stop()
        if self._pieces is not None:
            self._pieces.leave()
