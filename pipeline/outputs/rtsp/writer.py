"""Restreaming: RTSP RECORD over TCP to a media server."""

from __future__ import annotations

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...core.camera_url import CameraUrl
from ...core.clock import Clock
from ..encoding.encoder import title_of
from ..encoding.shared_encoder import EncodedPicture, SharedEncoder
from ..encoding.sps import parameter_sets
from ..restream.writer import IO_TIMEOUT, Restreamer
from .client import RtspRecording, describe, interleaved

# Bytes of an RTP packet: small enough for a server to pass it on over UDP.
PACKET = 1400


class RestreamWriter(Restreamer):
    """Announces a stream to an RTSP server and records pictures to it. See ``Restreamer``.

    Args:
        url: ``rtsp://`` address, its login included.
        generated: whether generated pictures may be among them; the stream's title then says how to tell.
        encoder: the camera's, shared with its other outputs; without one it encodes for itself.
        clock: time.
    """

    def __init__(
        self,
        *,
        url: CameraUrl,
        generated: bool = True,
        encoder: SharedEncoder | None = None,
        clock: Clock | None = None,
    ) -> None:
        title = title_of(generated=generated)
        super().__init__(
            connect=lambda first: RtspConnection(url, first, title=title), encoder=encoder, clock=clock
        )


class RtspConnection:
    """A stream that is announced to an RTSP server and recorded there. FFmpeg makes its packets, Python sends them.

    PTS go out as RTP timestamps and keep their distances. If the server does not take a picture within ``IO_TIMEOUT``
    seconds, that is an error.

    Args:
        url: ``rtsp://`` address, its login included.
        first: the first picture, which is to be sent, too.
        title: the stream's.
    """

    def __init__(self, url: CameraUrl, first: EncodedPicture, *, title: str) -> None:
        sdp = describe(title=title, parameter_sets=parameter_sets(first.data))
        self._recording = RtspRecording(url=url, sdp=sdp, timeout=IO_TIMEOUT)
        self._packets = _Packets()
        self._container: OutputContainer = av.open(
            self._packets, "w", format="rtp", container_options={"packetsize": str(PACKET)}
        )
        self._stream: VideoStream = first.add_stream(self._container)

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture."""
        self._container.mux_one(encoded.packet(self._stream))
        self._recording.send(self._packets.take())

    def keep_alive(self) -> None:
        """Give a sign of life where one is due. Raises an error if the server has hung up."""
        self._recording.send(b"")

    def close(self) -> None:
        """End the stream and the connection."""
        self._recording.close()


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
