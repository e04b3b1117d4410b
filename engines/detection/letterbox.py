"""Fits a picture into a detector's input, and the detector's boxes back onto the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# Grey level around the picture; ultralytics trains and predicts with it.
PADDING = 114


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How pictures of one size lie in the detector's input: scaled by one factor, centred, padded with grey.

    All sizes are (height, width) in pixels.

    Attributes:
        frame: size of the picture.
        inner: size of the picture once scaled.
        offset: (top, left) of the scaled picture in the input.
        outer: size of the input.
    """

    frame: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]
    outer: tuple[int, int]

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale and pad ``rgb`` (H, W, 3) of size ``frame`` to (``outer``, 3)."""
        (height, width), (top, left) = self.inner, self.offset
        scaled = rgb if self.inner == self.frame else cv2.resize(rgb, (width, height))
        result = np.full((*self.outer, 3), PADDING, np.uint8)
        result[top : top + height, left : left + width] = scaled
        return result

    def apply_on_device(self, rgb: Tensor) -> Tensor:
        """``apply`` to uint8 pictures (N, H, W, 3) on their own device; differs from it by at most one grey level."""
        (height, width), (top, left) = self.inner, self.offset
        scaled = rgb.permute(0, 3, 1, 2)
        if self.inner != self.frame:
            enlarged = F.interpolate(scaled.float(), size=(height, width), mode="bilinear", antialias=False)
            scaled = enlarged.round().clamp(0, 255).to(torch.uint8)
        below, right = self.outer[0] - top - height, self.outer[1] - left - width
        return F.pad(scaled, (left, right, top, below), value=PADDING).permute(0, 2, 3, 1)

    def points_to_frame(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (N, 2) as x, y in pixels of the input, mapped onto the picture and cut at its edges."""
        corners = np.concatenate((points, points), axis=1)
        return self.to_frame(corners)[:, :2]

    def to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes (N, 4) as x1, y1, x2, y2 in pixels of the input, mapped onto the picture and cut at its edges."""
        (height, width), (top, left) = self.inner, self.offset
        frame_height, frame_width = self.frame
        moved = np.asarray(boxes, np.float64).reshape(-1, 4) - (left, top, left, top)
        moved *= (frame_width / width, frame_height / height) * 2
        return np.clip(moved, 0, (frame_width, frame_height) * 2)


def fit(frame: tuple[int, int], *, into: tuple[int, int], stride: int, whole: bool = False) -> Letterbox:
    """The letterbox of ultralytics' ``predict``: as large as ``into`` allows, padded to multiples of ``stride``.

    Args:
        frame: (height, width) of the pictures.
        into: (height, width) the detector was trained for, multiples of ``stride``.
        stride: of the detector, in pixels.
        whole: pad to all of ``into``.
    """
    scale = min(into[0] / frame[0], into[1] / frame[1])
    height, width = (max(1, round(side * scale)) for side in frame)
    spare = into[0] - height, into[1] - width
    if not whole:
        spare = spare[0] % stride, spare[1] % stride
    return Letterbox(
        frame=frame,
        inner=(height, width),
        offset=(spare[0] // 2, spare[1] // 2),
        outer=(height + spare[0], width + spare[1]),
    )
