"""What a viewer may want to see of a picture: the day, the night, or both side by side."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from nightday.engines.device_copies import Pixels

from ...core.frame import Picture
from ...core.live import View

# Columns of either half of a pair at most: a pair of 1080p costs no more to encode and decode than one picture of it.
WIDEST_HALF = 1280


def view_of(picture: Picture, view: View) -> Picture:
    """The picture as ``view`` shows it. Both halves of a pair are equally wide, and of one frame."""
    seen = picture.rgb if picture.seen is None else picture.seen
    if view == "day" or (view == "night" and seen is picture.rgb):
        return picture
    rgb = seen if view == "night" else _side_by_side(_half(seen), _half(picture.rgb))
    return replace(picture, rgb=rgb, translated=picture.translated and view == "pair", trust=None)


def _side_by_side(left: Pixels, right: Pixels) -> Pixels:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return torch.cat((left, right), dim=1)
    assert isinstance(left, np.ndarray)
    assert isinstance(right, np.ndarray)
    return np.hstack((left, right))


def _half(rgb: Pixels) -> Pixels:
    """A picture (H, W, 3) of an even width, made smaller where it is too wide."""
    height, width = rgb.shape[:2]
    if width <= WIDEST_HALF:
        return rgb[:, : max(width & ~1, 1)]
    size = max(1, round(height * WIDEST_HALF / width)), WIDEST_HALF
    if isinstance(rgb, Tensor):
        planes = rgb.permute(2, 0, 1).float()[None]
        smaller = torch.nn.functional.interpolate(planes, size, mode="area")[0]
        return smaller.permute(1, 2, 0).round().to(torch.uint8)
    return np.asarray(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
