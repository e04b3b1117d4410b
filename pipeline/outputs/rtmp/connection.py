"""Encoded pictures and sound as RTMP's messages, which FFmpeg's FLV muxer makes, and their way to a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import av

from ...core.camera_url import CameraUrl
from ..encoding.shared_encoder import EncodedPicture
from ..module import RTMP_SOUNDS
from ..mpeg_ts import CollectedBytes
from ..sound import SoundStream
from .amf import decoded
from .amf import encoded as amf
from .chunks import AUDIO, DATA, Message
from .client import RtmpPublication, Target

# Seconds to connect, for one answer, and for the server to take one picture. Large services take their time.
IO_TIMEOUT = 5.0
_TAG_HEADER, _TAG_END = 11, 4  # bytes
_FILE_HEADER = 9 + _TAG_END


class FlvMuxer:
    """The messages of one stream: what it is first, and one for each picture and packet of sound. Time begins at 0.

    Pictures and sound have a muxer each: one for both would hold each picture back until sound comes after it.

    Args:
        first: the first picture, which is a key frame.
        title: what the stream's comment says.
    """

    def __init__(self, first: EncodedPicture, *, title: str) -> None:
        self._origin = first.pts
        self._pictures = _Flv(title=title)
        self._stream = first.add_stream(self._pictures.container)
        form = first.sound_in(RTMP_SOUNDS)
        self._heard = None if form is None else _Flv(title=title)
        if form is not None and self._heard is not None:
            self._sound = SoundStream(self._heard.container, form, origin=first.at, begin=first.at)
            self._heard.container.start_encoding()

    def mux(self, encoded: EncodedPicture) -> list[Message]:
        """The messages of one picture and of the sound before it. Raises what PyAV raises."""
        self._pictures.container.mux_one(encoded.packet(self._stream, origin=self._origin))
        messages = self._pictures.take()
        if self._heard is None:
            return messages
        self._sound.mux(encoded.sound)
        heard = self._heard.take()
        about = next((_about(one) for one in heard if one.kind == DATA), None)
        if about is not None:
            messages = [_told_of(one, about) if one.kind == DATA else one for one in messages]
        return messages + [one for one in heard if one.kind == AUDIO]


class _Flv:
    """A muxer of FFmpeg's, whose tags are taken as messages."""

    def __init__(self, *, title: str) -> None:
        self._written = CollectedBytes()
        self._rest = b""
        self._begun = False
        options = {"flvflags": "no_duration_filesize", "flush_packets": "1"}
        self.container = av.open(self._written, "w", format="flv", container_options=options)
        self.container.metadata["comment"] = title

    def take(self) -> list[Message]:
        """What is complete since the last time."""
        data = self._rest + self._written.take()
        if not self._begun and data:
            self._begun, data = True, data[_FILE_HEADER:]
        messages, at = [], 0
        while len(data) >= at + _TAG_HEADER:
            end = at + _TAG_HEADER + int.from_bytes(data[at + 1 : at + 4], "big")
            if len(data) < end + _TAG_END:
                break
            messages.append(_message(data[at:end]))
            at = end + _TAG_END
        self._rest = data[at:]
        return messages


def _message(tag: bytes) -> Message:
    """A tag of FLV as a message."""
    kind, body = tag[0] & 31, tag[_TAG_HEADER:]
    if kind == DATA:
        body = amf("@setDataFrame") + body  # the server is to hand it to each viewer
    return Message(kind, body, time=tag[7] << 24 | int.from_bytes(tag[4:7], "big"))


def _about(message: Message) -> Mapping[str, object]:
    """What a message says of its stream."""
    return next((one for one in decoded(message.data) if isinstance(one, Mapping)), {})


def _told_of(message: Message, sound: Mapping[str, object]) -> Message:
    """A message about the pictures that tells of their ``sound``, too."""
    both = {**sound, **_about(message)}
    return replace(message, data=amf("@setDataFrame", "onMetaData", both))  # type: ignore[arg-type]


class RtmpConnection:
    """A stream that is published to an RTMP server. FFmpeg makes its messages, and Python sends them.

    Args:
        url: ``rtmp://`` or ``rtmps://`` address, its key included.
        first: the first picture, which is to be sent, too.
        title: what the stream's comment says.
    """

    def __init__(self, url: CameraUrl, first: EncodedPicture, *, title: str) -> None:
        self._muxer = FlvMuxer(first, title=title)
        self._publication = RtmpPublication(Target.of(url), timeout=IO_TIMEOUT)

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture."""
        self._publication.send(self._muxer.mux(encoded))

    def keep_alive(self) -> None:
        """Answer the server's pings. Raises an error if it has hung up."""
        self._publication.listen()

    def close(self) -> None:
        """End the stream and the connection."""
        self._publication.close()
