"""Encoded pictures as RTMP's messages, which FFmpeg's FLV muxer makes, and their way to a server."""

from __future__ import annotations

import av

from ...core.camera_url import CameraUrl
from ..encoding.shared_encoder import EncodedPicture
from ..mpeg_ts import CollectedBytes
from .amf import encoded as amf
from .chunks import DATA, Message
from .client import RtmpPublication, Target

# Seconds to connect, for one answer, and for the server to take one picture. Large services take their time.
IO_TIMEOUT = 5.0
_TAG_HEADER, _TAG_END = 11, 4  # bytes
_FILE_HEADER = 9 + _TAG_END


class FlvMuxer:
    """The messages of one stream: what it is first, and one for each picture. Time begins at 0.

    Args:
        first: the first picture, which is a key frame.
        title: what the stream's comment says.
    """

    def __init__(self, first: EncodedPicture, *, title: str) -> None:
        self._origin = first.pts
        self._written = CollectedBytes()
        self._rest = b""
        self._begun = False
        options = {"flvflags": "no_duration_filesize", "flush_packets": "1"}
        self._container = av.open(self._written, "w", format="flv", container_options=options)
        self._container.metadata["comment"] = title
        self._stream = first.add_stream(self._container)

    def mux(self, encoded: EncodedPicture) -> list[Message]:
        """The messages of one picture. Raises what PyAV raises."""
        self._container.mux_one(encoded.packet(self._stream, origin=self._origin))
        data = self._rest + self._written.take()
        if not self._begun:
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
