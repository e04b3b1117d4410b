"""Which of a container's streams is the video."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import partial

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from . import colour
from .deinterlace import Deinterlacer
from .look import LookReader, upright

# Pictures that go with a video or with music, but are not it.
_NOT_THE_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
# Codecs of single pictures: a cover that is not marked as one.
_STILLS = ("png", "apng", "bmp", "tiff", "webp", "gif")


class NoVideoError(ValueError):
    """A container has no video that can be decoded here. The message is a clause without the container's name.

    Attributes:
        unsupported: whether there is video, in a codec that nothing here decodes.
    """

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


def best_video(container: InputContainer) -> VideoStream:
    """The video that a player would show: not a cover picture, and of several that with most pixels.

    One that is marked as default comes before the others, as in players.

    Raises:
        NoVideoError: there is none.
    """
    videos = container.streams.video
    films = [stream for stream in videos if not stream.disposition & _NOT_THE_VIDEO]
    usable = [stream for stream in films if stream.codec_context is not None]
    if usable:
        return max(usable, key=_rank)
    if films:
        raise NoVideoError("its video has a codec nothing here can decode", unsupported=True)
    if videos:
        raise NoVideoError("there is no video in it but a cover picture")
    raise NoVideoError("there is no video in it")


def _rank(stream: VideoStream) -> tuple[bool, bool, bool, int, int, int]:
    codec = stream.codec_context
    moves = stream.frames != 1 and codec.name not in _STILLS
    # Where the number of pictures is not known, JPEGs beside another video are rather its cover.
    film = stream.frames > 1 or codec.name != "mjpeg"
    default = bool(stream.disposition & Disposition.default)
    return moves, default, film, codec.width * codec.height, codec.bit_rate or 0, -stream.index


def pictures(
    container: InputContainer, damaged: Callable[[], None] | None = None
) -> Iterator[Callable[[], NDArray[np.uint8]]]:
    """The pictures of a clip as they are to be shown: upright, deinterlaced, in its colours.

    Each comes as a function that makes uint8 RGB (H, W, 3) of it, in memory of its own, since many may not be wanted.
    Pixels stay as wide as they are stored.

    Args:
        container: the clip.
        damaged: called for each packet that cannot be decoded, which is left out then; None raises PyAV's error.

    Raises NoVideoError and PyAV's errors.
    """
    stream = best_video(container)
    looks, fields, reformatter = LookReader(stream), Deinterlacer(), VideoReformatter()

    def whole() -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.InvalidDataError:
                if damaged is None:
                    raise
                damaged()
                continue
            for video in decoded:
                looks.give(video)
                yield from fields.frames(video)
        yield from fields.rest()

    for video in whole():
        yield partial(_as_shown, video, reformatter)


def _as_shown(video: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    stored = colour.to_rgb(video, reformatter)
    rgb: NDArray[np.uint8] = upright(stored, video)
    return rgb.copy() if rgb is stored and video.format.name == "rgb24" else rgb


def rgb_pictures(
    container: InputContainer, wanted: Container[int] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """``pictures``, converted.

    Args:
        container: the clip.
        wanted: the numbers, counted from 0, of the pictures that are converted and given; None for all.

    Raises NoVideoError and PyAV's errors.
    """
    for number, make in enumerate(pictures(container)):
        if wanted is None or number in wanted:
            yield make()
