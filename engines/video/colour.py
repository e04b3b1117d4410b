"""What the numbers of a video frame mean as colour: the one rule for what is read and what is written.

A frame that names its matrix is read by it. One that does not is read as players read it: at limited range by BT.709
from ``HD_ROWS`` rows on and by BT.601 below; at full range, as JPEG has it, always by BT.601.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

HD_ROWS = 720

# FFmpeg's numbers, which are those of ITU-T H.273.
BT709, FCC, BT470BG, BT601, SMPTE240M, BT2020, BT2020_CL = 1, 4, 5, 6, 7, 9, 10
SRGB = 13
UNNAMED = 2
LIMITED_RANGE, FULL_RANGE = 1, 2
# The weights of red and blue in luma, by matrix.
WEIGHTS = {
    BT709: (0.2126, 0.0722),
    FCC: (0.30, 0.11),
    BT470BG: (0.299, 0.114),
    BT601: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}
_HDR = {16: "PQ, SMPTE ST 2084", 18: "HLG, ARIB STD-B67"}
# Matrices that are read as if none was named. BT.2020's constant luminance is read as if it were not constant.
_UNREAD = {
    0: "RGB (GBR) in YUV",
    8: "YCgCo",
    10: "BT.2020 of constant luminance",
    11: "SMPTE ST 2085",
    12: "a matrix of its primaries",
    13: "a matrix of its primaries, of constant luminance",
    14: "ICtCp",
}
# Primaries and transfer functions end with these numbers; 0 and 3 are reserved.
_LAST = 22
# Planar formats of more than eight bits, by which swscale is slow and off by up to 4 levels, as eight bits.
_EIGHT_BITS = {
    f"{name}{bits}{order}": f"yuv{chroma}p"
    for chroma in ("420", "422", "444")
    for name in (f"yuv{chroma}p", *(("p0",) if chroma == "420" else ()))
    for bits in (9, 10, 12, 14, 16)
    for order in ("le", "be")
}
# The matrices as swscale's reformatter counts them.
_SWSCALE = {BT601: 5}


@dataclass(frozen=True, slots=True)
class Colour:
    """How a frame's numbers become colour, and the tags that have a player do the same.

    Attributes:
        matrix: one of ``WEIGHTS``, which converts.
        full_range: whether levels are 0…255 rather than 16…235 and 16…240.
        matrix_tag, primaries, transfer: what to write into a stream of such colours, numbers of ITU-T H.273.
    """

    matrix: int
    full_range: bool
    matrix_tag: int
    primaries: int
    transfer: int


def colour_of(video: av.VideoFrame, rows: int) -> Colour:
    """The colour of a frame that has ``rows`` rows as it is stored.

    The tags are the frame's own, so that a player shows a copy as it shows the original, whatever it makes of tags
    that say half. A frame without any gets those of what it is read as.
    """
    rgb = video.format.is_rgb
    full = not rgb and is_full_range(video)
    tags = (UNNAMED,) * 3 if rgb else (video.colorspace, video.color_primaries, video.color_trc)
    named, primaries, transfer = (int(tag) if tag not in (0, 3) and tag <= _LAST else UNNAMED for tag in tags)
    matrix = matrix_of(named, full_range=full, rows=rows)
    if (named, primaries, transfer) == (UNNAMED,) * 3:
        named = primaries = transfer = matrix
        if full:
            primaries, transfer = BT709, SRGB
    return Colour(matrix, full, named, primaries, transfer)


def matrix_of(named: int, *, full_range: bool, rows: int) -> int:
    """The matrix, one of ``WEIGHTS``, of a frame with so many rows that names ``named``."""
    if named == BT2020_CL:
        return BT2020
    if named in WEIGHTS:
        return named
    return BT709 if rows >= HD_ROWS and not full_range else BT601


def is_full_range(video: av.VideoFrame) -> bool:
    """Whether levels are 0…255, as those of grey are that names no range, such as a PNG's."""
    name = video.format.name
    grey = name.startswith("gray") and video.color_range != LIMITED_RANGE
    return video.color_range == FULL_RANGE or name.startswith("yuvj") or grey


def to_rgb(video: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """A frame on the host as uint8 RGB (H, W, 3) as it is stored, not turned; it may share the frame's memory."""
    colour = colour_of(video, video.height)
    levels = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
    video = _in_eight_bits(video, reformatter)
    converted = reformatter.reformat(
        video,
        format="rgb24",
        src_colorspace=_SWSCALE.get(colour.matrix, colour.matrix),
        src_color_range=levels,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    return np.asarray(converted.to_ndarray(), np.uint8)


def eight_bits(video: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8] | None:
    """The levels of a frame in 4:2:0, uint8 (H * 3 / 2, W) as they are stored; None of other formats."""
    video = _in_eight_bits(video, reformatter)
    return np.asarray(video.to_ndarray(), np.uint8) if video.format.name in ("yuv420p", "yuvj420p") else None


def _in_eight_bits(video: av.VideoFrame, reformatter: VideoReformatter) -> av.VideoFrame:
    """The frame, if need be with its levels in eight bits; nothing else is changed."""
    name = video.format.name
    # To swscale grey is always of full range, so that grey of limited range, as H.265's, would not become black and
    # white; as luma without colour it does, and GStreamer, NVDEC and browsers show it so.
    grey = name.startswith("gray") and video.color_range == LIMITED_RANGE
    eight = "yuv420p" if grey else _EIGHT_BITS.get(name)
    if eight is None:
        return video
    colour = colour_of(video, video.height)
    levels = ColorRange.JPEG if colour.full_range or grey else ColorRange.MPEG
    matrix = _SWSCALE.get(colour.matrix, colour.matrix)
    return reformatter.reformat(
        video,
        format=eight,
        # Without it swscale refuses frames whose matrix it does not know.
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=levels,
        dst_color_range=levels,
        threads=1,
    )


def unread(video: av.VideoFrame) -> str | None:
    """What a frame's tags say of its colours that is not read here, and how it is shown then; None if all is read."""
    transfer, matrix = int(video.color_trc), int(video.colorspace)
    if transfer in _HDR:
        return (
            f"its colours are HDR ({_HDR[transfer]}), which is not converted: pictures look flat and too dark or too "
            "bright wherever a player does not know HDR; set the camera to SDR (BT.709)"
        )
    if matrix in _UNREAD and not video.format.is_rgb:
        return (
            f"its colours are coded by {_UNREAD[matrix]}, which is not read here, so that they are wrong; set the "
            "camera to BT.709"
        )
    return None


def from_rgb(rgb: NDArray[np.uint8], colour: Colour, reformatter: VideoReformatter) -> av.VideoFrame:
    """uint8 RGB (H, W, 3), H and W even, as a frame in yuv420p of this colour."""
    video = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(rgb), format="rgb24")
    return reformatter.reformat(
        video,
        format="yuv420p",
        dst_colorspace=_SWSCALE.get(colour.matrix, colour.matrix),
        dst_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
        threads=1,
    )
