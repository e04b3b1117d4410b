"""Restreaming: RTSP RECORD over TCP to a media server."""

from __future__ import annotations

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...core.camera_url import CameraUrl
from ...core.frame import Picture
from ..encoder import GENERATED_COMMENT
from ..shared_encoder import EncodedPicture, EncoderClient, SharedEncoder
from .client import RtspRecording, describe, interleaved, parameter_sets

# Seconds to connect, for one answer, and for the server to take one picture.
IO_TIMEOUT = 3.0
# Bytes of an RTP packet: small enough for a server to pass it on over UDP.
PACKET = 1400


class RestreamWriter:
    """Announces a stream to an RTSP server and records pictures to it; connects at the first picture.

    PTS go out as RTP timestamps and keep their distances. A picture of another size or time base announces
    the stream anew. Raises OutputError, OSError or PyAV's errors from ``write``; call ``close`` then and write again
    to reconnect. If the server does not take a picture within ``IO_TIMEOUT`` seconds, that is an error.

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
        self._encoder = EncoderClient(encoder or SharedEncoder())
        self._open: _Stream | None = None

    def write(self, picture: Picture) -> None:
        """Send one picture, connecting first where needed. Raises PictureSkipped before its first key frame."""
        encoded = self._encoder.encode(picture, begins=self._open is None)
        if self._open is not None and not self._open.accepts(encoded):
            self.close()
        if self._open is None:
            title = GENERATED_COMMENT if self._generated else "nightday-stream"
            self._open = _Stream(self._url, encoded, title=title)
        self._open.send(encoded)

    def idle(self, seconds: float) -> None:
        """Told now and then that no picture has come for ``seconds``: send a sign of life where one is due.

        Raises an error if the server has hung up.
        """
        if self._open is not None:
            self._open.recording.send(b"")

    def close(self) -> None:
        """End the stream and the connection, if any."""
        stream, self._open = self._open, None
        if stream is not None:
            stream.recording.close()


class _Stream:
    """One connection. FFmpeg makes its RTP packets, and Python sends them."""

    def __init__(self, url: CameraUrl, first: EncodedPicture, *, title: str) -> None:
        self._first = first
        sdp = describe(title=title, parameter_sets=parameter_sets(first.data))
        self.recording = RtspRecording(url=url, sdp=sdp, timeout=IO_TIMEOUT)
        self._packets = _Packets()
        self._container: OutputContainer = av.open(
            self._packets, "w", format="rtp", container_options={"packetsize": str(PACKET)}
        )
        self._stream: VideoStream = first.add_stream(self._container)

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return encoded.stream == self._first.stream

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture."""
        self._container.mux_one(encoded.packet(self._stream))
        self.recording.send(self._packets.take())


class _Packets:
    """Collects what FFmpeg's RTP muxer writes, which is one packet a call."""

    def __init__(self) -> None:
        self._collected = bytearray()

    def write(self, packet: bytes) -> int:
        """Collect one packet."""
        self._collected += interleaved(packet)
        return len(packet)

    def take(self) -> bytes:
        """The packets collected since the last time, framed for the connection."""
        data = bytes(self._collected)
        self._collected.clear()
        return data
