"""Whether what comes over HTTP as a JPEG is one, and all of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from .base import SourceLostError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from .packets import Packet

# FFmpeg's names of multipart streams, and of a file that is one JPEG.
PARTS, SINGLE = "mpjpeg", "jpeg_pipe"
# What is said of an address that is to be fetched again and again.
ONE_PICTURE = "it answers one picture, not a video; add every_s: 5 to have it fetched every 5 seconds"
NO_JPEG = "it answers one picture, which is no JPEG; have the camera send JPEG, and add every_s: 5"
# What begins a picture, and each scan of it, and what ends it. Within a scan none of them stands by itself.
_START, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# Bytes that cameras append to a picture, to fill up.
_FILLING = b"\0\r\n \t\xff"


def breaks_off(data: bytes) -> bool:
    """Whether a JPEG has no end."""
    return data.find(_START) >= 0 and data.rfind(_END) < data.rfind(_SCAN)


def is_one(data: bytes) -> bool:
    """Whether the data are one JPEG and nothing more."""
    after = data[data.rfind(_END) + len(_END) :]
    return data.startswith(_START) and not breaks_off(data) and not after.strip(_FILLING)


def checked(packets: Iterator[Packet], container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a container, as they come; they may be read in another thread.

    FFmpeg cuts a multipart stream by the lengths that the camera tells of its parts. Where the first is not one JPEG,
    they are wrong, and the stream is to be opened as bare JPEGs; that first packet is waited for. A single picture
    that breaks off is none.

    Raises SourceLostError, and what PyAV raises.
    """
    if container.format.name == PARTS:
        first = next(container.demux(stream))
        if not is_one(bytes(first)):
            raise SourceLostError("decode", "the parts that it sends are not as long as it says")
        return chain((first,), packets)
    return _whole(packets) if container.format.name == SINGLE else packets


def _whole(packets: Iterator[Packet]) -> Iterator[Packet]:
    for packet in packets:
        if breaks_off(bytes(packet)):
            raise SourceLostError("decode", "the JPEG that it answers breaks off")
        yield packet
