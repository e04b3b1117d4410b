"""Which way up a frame is to be shown, and how wide its pixels are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

import av
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from .colour import BT709, FULL_RANGE, LIMITED_RANGE, SRGB, UNNAMED, is_full_range

if TYPE_CHECKING:
    from torch import Tensor

PlanesT = TypeVar("PlanesT", NDArray[np.uint8], NDArray[np.float32], "Tensor")

SQUARE = Fraction(1)
# A pixel that is wider than this, or as high, is a mistake in the stream.
_MOST_ASPECT = 16


@dataclass(frozen=True, slots=True)
class Look:
    """How a stored picture is to be shown.

    Attributes:
        mirrored: whether left and right are exchanged, first of all.
        quarters: quarter turns counter-clockwise, after that.
        pixel_aspect: width by height of a pixel as it is stored, before both.
    """

    mirrored: bool = False
    quarters: int = 0
    pixel_aspect: Fraction = SQUARE


PLAIN = Look()


def _unknown(cls: type[SideDataType], value: object) -> SideDataType:
    """Side data of a kind that PyAV does not know."""
    member: SideDataType = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value  # type: ignore[assignment]
    return member


# PyAV 18.1 reads none of a frame's side data where it does not know the kind of one, as of the EXIF that a JPEG has.
SideDataType._missing_ = classmethod(_unknown)  # type: ignore[assignment]


def look_of(video: av.VideoFrame) -> Look:
    """The look that a ``LookReader`` gave a frame; without one, what the frame itself says."""
    given = video.opaque
    return given if isinstance(given, Look) else _turned(video) or PLAIN


def size_of(video: av.VideoFrame) -> tuple[int, int]:
    """Height and width of a frame, upright."""
    height, width = video.height, video.width
    return (width, height) if look_of(video).quarters % 2 else (height, width)


def aspect_of(video: av.VideoFrame) -> Fraction:
    """Width by height of a pixel of a frame, upright."""
    look = look_of(video)
    return 1 / look.pixel_aspect if look.quarters % 2 else look.pixel_aspect


def without_pixels(video: av.VideoFrame) -> av.VideoFrame:
    """A small frame that is to be shown as ``video`` is, and keeps nothing of its memory."""
    kept = av.VideoFrame(16, 16, "yuv420p")
    if not video.format.is_rgb:
        kept.color_range = FULL_RANGE if is_full_range(video) else LIMITED_RANGE
        kept.colorspace = video.colorspace
        kept.color_primaries, kept.color_trc = video.color_primaries, video.color_trc
    kept.opaque = replace(look_of(video))  # a new object, see ``LookReader.give``
    return kept


def upright(pixels: PlanesT, video: av.VideoFrame) -> PlanesT:
    """The pixels of a frame, (H, W, 3) or (H, W), upright and contiguous; themselves if they are that already."""
    look = look_of(video)
    if not look.mirrored and not look.quarters:
        return pixels
    if not isinstance(pixels, np.ndarray):
        import torch

        tensor = pixels.flip(1) if look.mirrored else pixels
        return torch.rot90(tensor, look.quarters, (0, 1)).contiguous()
    array = pixels[:, ::-1] if look.mirrored else pixels
    return np.ascontiguousarray(np.rot90(array, look.quarters))


class LookReader:
    """Gives each frame of a stream its look, which FFmpeg leaves in several places, and JPEG's colours their names.

    The container's display matrix and pixel aspect are those of the whole stream and come first. H.264 and H.265 may
    have a matrix of their own beside key frames alone; it holds until the next key frame.

    Args:
        stream: the stream that is decoded, which tells the pixel aspect.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._context = stream.codec_context
        self._aspect_at_first = _believed(stream.sample_aspect_ratio)
        # Where they differ the container has an aspect of its own; else FFmpeg gives that of some coded picture.
        self._containers = self._aspect_at_first != _believed(self._context.sample_aspect_ratio)
        self._first_coded: Fraction | None = None
        self._turn = PLAIN
        # A JPEG names its matrix and no more, since its colours are always those of sRGB.
        self._jpeg = self._context.name == "mjpeg"

    def give(self, video: av.VideoFrame) -> Look:
        """Note on a frame, the last that was decoded, how it is to be shown; also returned."""
        if self._jpeg and video.color_primaries == UNNAMED:
            video.color_primaries, video.color_trc = BT709, SRGB
        own = _turned(video)
        if own is not None or video.key_frame:
            self._turn = own or PLAIN
        # A new object each time: PyAV 18.1 forgets one that two frames share once the first of them is freed.
        look = replace(self._turn, pixel_aspect=self._aspect())
        video.opaque = look
        return look

    def _aspect(self) -> Fraction:
        """What the container says, until the coded stream says something else than at its beginning."""
        coded = _believed(self._context.sample_aspect_ratio)
        if self._first_coded is None:
            self._first_coded = coded
        followed = coded if not self._containers or coded != self._first_coded else None
        return followed or self._aspect_at_first or SQUARE


def _believed(aspect: Fraction | None) -> Fraction | None:
    """An aspect that a picture may have; None for one that is not named, or is nonsense."""
    return aspect if aspect and Fraction(1, _MOST_ASPECT) <= aspect <= _MOST_ASPECT else None


def _turned(video: av.VideoFrame) -> Look | None:
    """How a frame's display matrix turns it, to the nearest quarter; None without one.

    The matrix (a, b, u, c, d, v, x, y, w) takes x, y to a·x + c·y, b·x + d·y, with y downwards.
    """
    # Not video.side_data: PyAV 18.1 has the frame and that refer to each other, so the frame's memory would stay
    # until the garbage collector comes by.
    data = SideDataContainer(video).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if not isinstance(data, SideData):
        return None
    a, b, _, c, d = (float(value) for value in np.frombuffer(memoryview(data), np.int32)[:5])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Look(mirrored=mirrored, quarters=round(math.atan2(-b, a) / (math.pi / 2)) % 4)
