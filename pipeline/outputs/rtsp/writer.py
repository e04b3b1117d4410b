"""Restreaming: RTSP RECORD over TCP to a media server."""

from __future__ import annotations

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...core.camera_url import CameraUrl
from ...core.frame import Picture
from ..encoder import NOTE, Coded, Feed, SharedEncoder, add_video
from .client import RtspRecording, describe, interleaved, parameter_sets

IO_TIMEOUT = 3.0  # seconds to connect, for one answer, and for one picture to be taken
PACKET = 1400  # bytes of an RTP packet, so that a server can pass it on over UDP


class RestreamWriter:
    """Announces a stream to an RTSP server and records pictures to it; connects at the first picture.

    PTS go out as RTP timestamps and keep their distances. A picture of another size or time base announces
    the stream anew. Raises OSError or PyAV's errors from ``write``; call ``close`` then and write again to
    reconnect. A picture of a running stream is taken within ``IO_TIMEOUT`` seconds or given up.

    Args:
        url: ``rtsp://`` address, its login included.
        generated: whether generated pictures may be among them; the stream's title then says how to tell.
        encoder: the camera's, shared with its other outputs; without one it encodes for itself.
    """

    def __init__(
        self, *, url: CameraUrl, generated: bool = True, encoder: SharedEncoder | None = None
    ) -> None:
        self._url = url
        self._generated = generated
        self._feed = Feed(encoder or SharedEncoder())
        self._open: _Stream | None = None

    def write(self, picture: Picture) -> None:
        """Send one picture, connecting first where needed. Raises LeftOut before its first key frame."""
        coded = self._feed.encode(picture, begins=self._open is None)
        if self._open is not None and not self._open.takes(coded):
            self.close()
        if self._open is None:
            self._open = _Stream(self._url, coded, title=NOTE if self._generated else "nightday-stream")
        self._open.send(coded)

    def idle(self, seconds: float) -> None:
        """Told now and then that no picture has come for ``seconds``: show the server that we are still there.

        It is noticed here, too, if the server is not.
        """
        if self._open is not None:
            self._open.recording.send(b"")

    def close(self) -> None:
        """End the stream and the connection, if any."""
        stream, self._open = self._open, None
        if stream is not None:
            stream.recording.close()


class _Stream:
    """One connection and the RTP packets for it: FFmpeg makes them, Python sends them."""

    def __init__(self, url: CameraUrl, first: Coded, *, title: str) -> None:
        self._first = first
        sdp = describe(title=title, parameter_sets=parameter_sets(first.data))
        self.recording = RtspRecording(url=url, sdp=sdp, timeout=IO_TIMEOUT)
        self._packets = _Packets()
        self._container: OutputContainer = av.open(
            self._packets, "w", format="rtp", container_options={"packetsize": str(PACKET)}
        )
        self._stream: VideoStream = add_video(self._container, first)

    def takes(self, coded: Coded) -> bool:
        """Whether ``coded`` goes on with what the first picture began."""
        return coded.stream == self._first.stream

    def send(self, coded: Coded) -> None:
        """Send one picture."""
        self._container.mux_one(coded.packet(self._stream))
        self.recording.send(self._packets.take())


class _Packets:
    """Where FFmpeg's RTP muxer writes to, a packet a call."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def write(self, packet: bytes) -> int:
        """Keep one packet."""
        self._kept += interleaved(packet)
        return len(packet)

    def take(self) -> bytes:
        """What came since, framed for the connection."""
        data = bytes(self._kept)
        self._kept.clear()
        return data
