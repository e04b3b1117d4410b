"""Restreaming: RTSP RECORD over TCP to a media server."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...core.camera_url import CameraUrl
from ...core.clock import Clock, SystemClock
from ...core.frame import Picture
from ..encoder import GENERATED_COMMENT
from ..shared_encoder import EncodedPicture, EncoderClient, SharedEncoder
from .client import RtspRecording, describe, interleaved, parameter_sets
from .stand_in import StandIn, stand_in_for

# Seconds to connect, for one answer, and for the server to take one picture.
IO_TIMEOUT = 3.0
# Seconds without a picture until the last one is sent again, and between two of those. go2rtc closes a stream after
# 15 s without a picture, and its viewers stay black for good, even when the stream is back.
STAND_IN_EVERY = 10.0
# Seconds between the last stand-in and the first picture after it, at the least.
STEP = Fraction(1, 100)
# Bytes of an RTP packet: small enough for a server to pass it on over UDP.
PACKET = 1400


class RestreamWriter:
    """Announces a stream to an RTSP server and records pictures to it; connects at the first picture.

    PTS go out as RTP timestamps and keep their distances. A picture of another size or time base announces
    the stream anew. Raises OutputError, OSError or PyAV's errors from ``write``; call ``close`` then and write again
    to reconnect. If the server does not take a picture within ``IO_TIMEOUT`` seconds, that is an error.

    While no picture comes, the last one is sent again every ``STAND_IN_EVERY`` seconds, and says so.

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
        self._url = url
        self._title = GENERATED_COMMENT if generated else "nightday-stream"
        self._encoder = EncoderClient(encoder or SharedEncoder())
        self._clock = clock or SystemClock()
        self._open: _Stream | None = None
        self._stand_in: StandIn | None = None
        self._sent_at = 0.0  # monotonic seconds

    def write(self, picture: Picture) -> None:
        """Send one picture, connecting first where needed. Raises PictureSkipped before its first key frame."""
        # After a stand-in too, for what follows refers to a picture that viewers no longer have.
        begins = self._open is None or self._open.stands_in
        encoded = self._encoder.encode(picture, begins=begins)
        if self._open is not None and not self._open.accepts(encoded):
            self.close()
        now = self._clock.monotonic()
        self._stand_in = stand_in_for(picture, encoded, shown_at=now, shape=self._encoder.shown)
        self._send(encoded)

    def idle(self, seconds: float) -> None:
        """Told now and then that no picture has come for ``seconds``: send a stand-in, or a sign of life.

        Raises an error if the server has hung up, or cannot be reached again.
        """
        now = self._clock.monotonic()
        if self._stand_in is not None and now - self._sent_at >= STAND_IN_EVERY:
            self._send(self._stand_in.encoded(now), stands_in=True)
        elif self._open is not None:
            self._open.recording.send(b"")

    def close(self) -> None:
        """End the stream and the connection, if any."""
        stream, self._open = self._open, None
        if stream is not None:
            stream.recording.close()

    def _send(self, encoded: EncodedPicture, *, stands_in: bool = False) -> None:
        if self._open is None:
            self._open = _Stream(self._url, encoded, title=self._title)
        self._open.send(encoded, stands_in=stands_in)
        self._sent_at = self._clock.monotonic()


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
        self._step = max(1, math.ceil(STEP / first.time_base))
        self._last_pts = first.pts - self._step
        self._shift = 0
        self.stands_in = False
        """Whether the last picture sent was a stand-in."""

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return encoded.stream == self._first.stream

    def send(self, encoded: EncodedPicture, *, stands_in: bool) -> None:
        """Send one picture. Those after a stand-in are moved where their PTS would not lie after its own."""
        if stands_in or self.stands_in:
            self._shift = max(0, self._last_pts + self._step - encoded.pts)
        self.stands_in = stands_in
        self._last_pts = encoded.pts + self._shift
        self._container.mux_one(replace(encoded, pts=self._last_pts).packet(self._stream))
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
