"""Encoded pictures over WebRTC: aiortc makes RTP packets of them, encrypts and sends them, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from ...core.camera_url import CameraUrl
from ...core.faults import OutputError
from ..encoding.shared_encoder import EncodedPicture
from ..webrtc import sending_peer
from .session import Target, WhipSession

# Seconds for the server's answer, and until the first packet goes through.
IO_TIMEOUT = 5.0
# Pictures that may wait to be sent: what is sent over UDP does not wait for the server.
MOST_WAITING = 50
ResultT = TypeVar("ResultT")


class WhipConnection:
    """A stream that is published over WebRTC. The pictures are sent as they are, without another encoder.

    Args:
        url: ``whip://`` or ``whips://`` address, its token included.
        first: the first picture, which is to be sent, too.
    """

    def __init__(self, url: CameraUrl, first: EncodedPicture) -> None:
        self._first = first
        self._session: WhipSession | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="whip", daemon=True)
        self._thread.start()
        try:
            self._peer, self._track, offer = self._run(_offer())
            self._session = WhipSession(Target.of(url), offer, timeout=IO_TIMEOUT)
            self._run(_connect(self._peer, self._session.answer))
        except BaseException:
            self.close()
            raise

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture."""
        self.keep_alive()
        packet = av.Packet(encoded.data)
        packet.pts, packet.time_base = encoded.pts - self._first.pts, encoded.time_base
        if self._track.waiting >= MOST_WAITING:
            raise OutputError("stall", "the pictures are not sent")
        self._loop.call_soon_threadsafe(self._track.put, packet)

    def keep_alive(self) -> None:
        """Raise an error if the connection has ended; aiortc gives signs of life by itself."""
        if self._peer.connectionState != "connected":
            raise ConnectionResetError("the server ended the connection")

    def close(self) -> None:
        """End the stream and the connection."""
        try:
            peer = getattr(self, "_peer", None)
            if peer is not None:
                self._run(peer.close())
        except (OSError, RuntimeError):
            pass
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(IO_TIMEOUT)
            if not self._thread.is_alive():
                self._loop.close()
        if self._session is not None:
            self._session.end()

    def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do ``work`` in the loop's thread; nobody but this output waits for it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(IO_TIMEOUT)
        except FutureTimeout:
            future.cancel()
            raise TimeoutError("nothing comes through to the server by UDP") from None


class PacketTrack(MediaStreamTrack):
    """Encoded pictures as aiortc takes them. For the loop's thread, but for ``waiting``."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._packets: asyncio.Queue[av.Packet[Any]] = asyncio.Queue()

    @property
    def waiting(self) -> int:
        """How many pictures wait to be sent."""
        return self._packets.qsize()

    def put(self, packet: av.Packet[Any]) -> None:
        """Have one sent."""
        self._packets.put_nowait(packet)

    async def recv(self) -> av.Packet[Any]:
        """The next one."""
        return await self._packets.get()


async def _offer() -> tuple[RTCPeerConnection, PacketTrack, str]:
    track = PacketTrack()
    peer, _ = sending_peer(track)
    await peer.setLocalDescription(await peer.createOffer())
    return peer, track, peer.localDescription.sdp


async def _connect(peer: RTCPeerConnection, answer: str) -> None:
    connected = asyncio.Event()

    @peer.on("connectionstatechange")
    def changed() -> None:
        connected.set()

    try:
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    except (ValueError, AssertionError, KeyError, IndexError) as error:
        raise OutputError("failed", "the server's answer cannot be understood") from error
    while peer.connectionState in ("new", "connecting"):
        connected.clear()
        await connected.wait()
    if peer.connectionState != "connected":
        raise TimeoutError("nothing comes through to the server by UDP")
