"""A camera's picture as an output shows it: by day, as the camera saw it, or both, and at another size."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines.device_copies import Pixels, on_host

from ...analysis.draw import draw_mark
from ...core.frame import Picture
from ...core.live import View
from .settings import Encoding

# Columns of either half of a pair at most: a pair of 1080p costs no more to encode and decode than one picture of it.
WIDEST_HALF = 1280
# A pixel's aspect that differs by less from the camera's is that: the size was rounded to whole pixels.
_SAME_ASPECT = 0.02
# Numerator and denominator of an aspect are 16 bits in H.264.
_FINEST_ASPECT = 65_535


def picture_of(picture: Picture, encoding: Encoding) -> Picture:
    """``picture`` as ``encoding`` shows it; itself where nothing is to be done. Its pixels are not written to."""
    # A size that was asked for is made of all the pixels there are.
    widest = WIDEST_HALF if encoding.size is None else None
    return resized(view_of(picture, encoding.view, widest=widest), encoding.size)


def view_of(picture: Picture, view: View, *, widest: int | None = WIDEST_HALF) -> Picture:
    """The picture as ``view`` shows it. Both halves of a pair are equally wide, and of one frame.

    Halves with more than ``widest`` columns are made smaller.
    """
    seen = picture.rgb if picture.seen is None else picture.seen
    if view == "day" or (view == "night" and seen is picture.rgb):
        return picture
    if view == "night":
        return replace(picture, rgb=seen, translated=False, trust=None, made_by=None)
    return replace(picture, rgb=_side_by_side(_half(seen, widest), _half(picture.rgb, widest)), trust=None)


def resized(picture: Picture, size: tuple[int, int] | None) -> Picture:
    """``picture`` at (width, height); a width of 0 follows the height. It keeps its shape when it is shown.

    The mark of a generated picture is drawn anew, so that it stays legible.
    """
    if size is None:
        return picture
    height, width = int(picture.rgb.shape[0]), int(picture.rgb.shape[1])
    wanted = size[0] or max(2, round(width * size[1] / height / 2) * 2)
    if (wanted, size[1]) == (width, height):
        return picture
    rgb = _resized(picture.rgb, wanted, size[1])
    if picture.translated:
        draw_mark(rgb)
    stretch = Fraction(width * size[1], height * wanted)
    aspect = picture.pixel_aspect
    if abs(stretch - 1) > _SAME_ASPECT:
        aspect = (aspect * stretch).limit_denominator(_FINEST_ASPECT // 16)
    return replace(picture, rgb=rgb, aspect=aspect)


def _side_by_side(left: Pixels, right: Pixels) -> Pixels:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return torch.cat((left, right), dim=1)
    return np.hstack([on_host(left, "encode"), on_host(right, "encode")])


def _half(rgb: Pixels, widest: int | None) -> Pixels:
    """A picture (H, W, 3) of an even width, made smaller where it is too wide."""
    height, width = rgb.shape[:2]
    if widest is None or width <= widest:
        return rgb[:, : max(width & ~1, 1)]
    return _resized(rgb, widest, max(1, round(height * widest / width)))


def _resized(rgb: Pixels, width: int, height: int) -> Pixels:
    smaller = height <= rgb.shape[0] and width <= rgb.shape[1]
    if isinstance(rgb, Tensor):
        batch = rgb.permute(2, 0, 1)[None].float()
        size = (height, width)
        if smaller:
            small = F.interpolate(batch, size=size, mode="area")
        else:
            small = F.interpolate(batch, size=size, mode="bilinear", align_corners=False)
        return small[0].permute(1, 2, 0).round_().clamp_(0, 255).to(torch.uint8).contiguous()
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    array: NDArray[np.uint8] = np.asarray(cv2.resize(rgb, (width, height), interpolation=how), np.uint8)
    return array
