"""Encoded pictures over WebRTC: aiortc makes RTP packets of them, encrypts and sends them, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from fractions import Fraction
from typing import Any, TypeVar

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from ...core.camera_url import CameraUrl
from ...core.faults import OutputError
from ...core.sound import SoundFormat
from ..encoding.shared_encoder import EncodedPicture
from ..webrtc import new_peer, packet_of, sends
from .session import Target, WhipSession

# Seconds for the server's answer, and until the first packet goes through.
IO_TIMEOUT = 5.0
# Pictures that may wait to be sent: what is sent over UDP does not wait for the server.
MOST_WAITING = 50
# Ticks a second of sound's times: what Opus counts in.
SOUND_TICKS = 48_000
_SOUND_TICK = Fraction(1, SOUND_TICKS)
ResultT = TypeVar("ResultT")


class WhipConnection:
    """A stream that is published over WebRTC. Pictures and sound are sent as they are, without another encoder.

    Args:
        url: ``whip://`` or ``whips://`` address, its token included.
        first: the first picture, which is to be sent, too.
        sound: the format of the sound that goes along; None without any.
    """

    def __init__(self, url: CameraUrl, first: EncodedPicture, *, sound: SoundFormat | None = None) -> None:
        self._first = first
        self._format = sound
        self._session: WhipSession | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="whip", daemon=True)
        self._thread.start()
        try:
            self._peer, offer = self._run(self._offer())
            self._session = WhipSession(Target.of(url), offer, timeout=IO_TIMEOUT)
            self._run(_connect(self._peer, self._session.answer))
        except BaseException:
            self.close()
            raise

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture, and the sound before it."""
        self.keep_alive()
        if self._track.waiting >= MOST_WAITING:
            raise OutputError("stall", "the pictures are not sent")
        packet = packet_of(encoded.data, encoded.pts - self._first.pts, encoded.time_base)
        self._loop.call_soon_threadsafe(self._track.put, packet)
        if self._sound is None or not self.takes_sound:
            return
        for one in encoded.sound:
            ours = one.format == self._format and one.at >= self._first.at
            if ours and self._sound.waiting < MOST_WAITING:
                heard = packet_of(one.data, round((one.at - self._first.at) * SOUND_TICKS), _SOUND_TICK)
                self._loop.call_soon_threadsafe(self._sound.put, heard)

    @property
    def takes_sound(self) -> bool:
        """Whether the server takes the sound that was offered to it."""
        transceivers = self._peer.getTransceivers()
        return any(one.kind == "audio" and one.currentDirection == "sendonly" for one in transceivers)

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

    async def _offer(self) -> tuple[RTCPeerConnection, str]:
        peer = new_peer()
        self._track = PacketTrack("video")
        sends(peer, self._track, "h264")
        self._sound = None if self._format is None else PacketTrack("audio")
        if self._format is not None and self._sound is not None:
            sends(peer, self._sound, self._format.codec)
        await peer.setLocalDescription(await peer.createOffer())
        return peer, peer.localDescription.sdp

    def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do ``work`` in the loop's thread; nobody but this output waits for it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(IO_TIMEOUT)
        except FutureTimeout:
            future.cancel()
            raise TimeoutError("nothing comes through to the server by UDP") from None


class PacketTrack(MediaStreamTrack):
    """Encoded pictures or sound as aiortc takes them. For the loop's thread, but for ``waiting``.

    Args:
        kind: ``video`` or ``audio``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._packets: asyncio.Queue[av.Packet[Any]] = asyncio.Queue()

    @property
    def waiting(self) -> int:
        """How many wait to be sent."""
        return self._packets.qsize()

    def put(self, packet: av.Packet[Any]) -> None:
        """Have one sent."""
        self._packets.put_nowait(packet)

    async def recv(self) -> av.Packet[Any]:
        """The next one."""
        return await self._packets.get()


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
