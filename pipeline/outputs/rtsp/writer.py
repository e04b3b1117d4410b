"""Restreaming: RTSP RECORD over TCP to a media server."""

from __future__ import annotations

import time

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...core.camera_url import CameraUrl
from ...core.clock import Clock
from ...core.event_log import to_log
from ...core.events import Publish
from ...core.sound import SoundFormat
from ..encoding.encoder import title_of
from ..encoding.shared_encoder import EncodedPicture, SharedEncoder
from ..encoding.sps import parameter_sets
from ..module import RTSP_SOUNDS
from ..restream.refused_sound import RefusedSound
from ..restream.writer import IO_TIMEOUT, Restreamer
from ..sound import SoundStream
from .client import RtspRecording, describe, interleaved
from .sound import SOUND_PAYLOAD_TYPE, sound_lines

# Bytes of an RTP packet: small enough for a server to pass it on over UDP.
PACKET = 1400


class RestreamWriter(Restreamer):
    """Announces a stream to an RTSP server and records pictures to it, and sound where the server takes it.

    See ``Restreamer``.

    Args:
        url: ``rtsp://`` address, its login included.
        generated: whether generated pictures may be among them; the stream's title then says how to tell.
        encoder: the camera's, shared with its other outputs; without one it encodes for itself.
        camera: the camera's name, for events.
        publish: told once if the server does not take the sound.
        clock: time.
    """

    def __init__(
        self,
        *,
        url: CameraUrl,
        generated: bool = True,
        encoder: SharedEncoder | None = None,
        camera: str = "",
        publish: Publish = to_log,
        clock: Clock | None = None,
    ) -> None:
        self._url = url
        self._title = title_of(generated=generated)
        self._refused = RefusedSound(url=url, camera=camera, publish=publish)
        super().__init__(connect=self._begin, sounds=RTSP_SOUNDS, encoder=encoder, clock=clock)

    def _begin(self, first: EncodedPicture) -> RtspConnection:
        connection, _ = self._refused.connected(
            first.sound_in(RTSP_SOUNDS),
            lambda form: RtspConnection(self._url, first, title=self._title, sound=form),
        )
        return connection


class RtspConnection:
    """A stream that is announced to an RTSP server and recorded there. FFmpeg makes its packets, Python sends them.

    PTS go out as RTP timestamps and keep their distances; RTCP tells both media's moments. If the server does not
    take a picture within ``IO_TIMEOUT`` seconds, that is an error.

    Args:
        url: ``rtsp://`` address, its login included.
        first: the first picture, which is to be sent, too.
        title: the stream's.
        sound: the format of the sound that goes along; None without any.
    """

    def __init__(
        self, url: CameraUrl, first: EncodedPicture, *, title: str, sound: SoundFormat | None = None
    ) -> None:
        lines = [] if sound is None else sound_lines(sound)
        sets = parameter_sets(first.data, first.codec)
        sdp = describe(title=title, parameter_sets=sets, sound=lines, codec=first.codec)
        self._recording = RtspRecording(url=url, sdp=sdp, timeout=IO_TIMEOUT, media=1 if sound is None else 2)
        # The moment of PTS 0, which is to be the same one for pictures and sound.
        start = round((time.time() - float(first.at)) * 1e6)
        self._pictures = _Packets(media=0, start=start)
        self._stream: VideoStream = first.add_stream(self._pictures.container)
        self._heard = _Packets(media=1, start=start) if sound is not None else None
        if sound is not None and self._heard is not None:
            self._sound = SoundStream(self._heard.container, sound, begin=first.at)

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture, and the sound before it."""
        self._pictures.container.mux_one(encoded.packet(self._stream))
        data = self._pictures.take()
        if self._heard is not None:
            self._sound.mux(encoded.sound)
            data += self._heard.take()
        self._recording.send(data)

    def keep_alive(self) -> None:
        """Give a sign of life where one is due. Raises an error if the server has hung up."""
        self._recording.send(b"")

    def close(self) -> None:
        """End the stream and the connection."""
        self._recording.close()


class _Packets:
    """FFmpeg's RTP muxer of one medium, and what it writes, which is one packet a call."""

    def __init__(self, *, media: int, start: int) -> None:
        self._collected = bytearray()
        self._media = media
        options = {"packetsize": str(PACKET), "start_time_realtime": str(start)}
        if media:
            options["payload_type"] = str(SOUND_PAYLOAD_TYPE)
        self.container: OutputContainer = av.open(self, "w", format="rtp", container_options=options)

    def write(self, packet: bytes) -> int:
        """Collect one packet."""
        self._collected += interleaved(packet, media=self._media)
        return len(packet)

    def take(self) -> bytes:
        """The packets collected since the last time, framed for the connection."""
        data = bytes(self._collected)
        self._collected.clear()
        return data
