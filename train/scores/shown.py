"""Whether what is there by night is shown, beside how clean the rest of the picture is.

Either of the two can be had for nothing: the night itself, brightened, shows everything, and a pasted x_ref has a
perfect background. So they are only told together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..footage.evidence import Plane, luma, things
from ..footage.scene import Image
from .detection_scores import Boxes
from .image_distances import Mask
from .scorer import decibel

# Grey levels, the largest of the three channels, from which on a pixel is not x_ref's.
OFF = 20
# Share of a box's pixels that must be off, and correlation of its high-pass with the night's, for it to be shown.
SHARE, LIKENESS = 0.3, 0.3
# Standard deviation of the blur that the high-pass leaves out, pixels.
HIGH_PASS = 3.0
# Smaller boxes do not count, square pixels.
LEAST_AREA = 50.0
# Pixels around a box that belong to it: its shadow, its glare.
MARGIN = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """What a method shows of labelled things, and how near the rest is to x_ref.

    Attributes:
        boxes: how many labelled boxes counted.
        shown: share of them that is shown; NaN where there is none.
        background: PSNR to x_ref of what is neither in a box nor a thing by the evidence, dB; ``IDENTICAL`` where it
            is x_ref. Evidence without structure, such as glare, is background: it should look as by day.
        off: share of these pixels that is off by more than ``OFF`` grey levels.
        counted: share of the pixels that are such background.
        outside: PSNR to x_ref outside boxes alone, where things without a box count as faults.
    """

    boxes: int
    shown: float
    background: float
    off: float
    counted: float
    outside: float


def shown(
    nights: Sequence[Image],
    outputs: Sequence[Image],
    boxes: Sequence[Boxes],
    *,
    x_ref: Image,
    n_ref: Image,
    keep: Mask,
) -> Shown:
    """Score outputs against their nights, uint8 RGB (H, W, 3) each.

    Args:
        nights, outputs: pictures of one camera.
        boxes: of each night, (N, 4) in pixels.
        x_ref, n_ref: the camera's backgrounds by day and by night.
        keep: bool (H, W), pixels that count as background: all but burned-in labels.
    """
    found: list[bool] = []
    error, count, off = np.zeros(2), np.zeros(2, int), 0
    for night, output, given in zip(nights, outputs, boxes, strict=True):
        found += shown_boxes(night, output, x_ref, given).tolist()
        squared, apart = _apart(output, x_ref)
        outside = outside_boxes(given, keep.shape) & keep
        still = outside & still_background(night, n_ref)
        for i, part in enumerate((still, outside)):
            error[i] += squared[part].sum()
            count[i] += part.sum()
        off += int((apart[still] > OFF).sum())
    background, outer = (decibel(e / n) if n else float("nan") for e, n in zip(error, count, strict=True))
    return Shown(
        boxes=len(found),
        shown=float(np.mean(found)) if found else float("nan"),
        background=background,
        off=float(off / count[0]) if count[0] else float("nan"),
        counted=float(count[0] / (len(nights) * keep.size)) if len(nights) else float("nan"),
        outside=outer,
    )


def shown_boxes(night: Image, output: Image, x_ref: Image, boxes: Boxes) -> NDArray[np.bool_]:
    """Whether each box of at least ``LEAST_AREA`` is shown: bool (M,)."""
    _, apart = _apart(output, x_ref)
    seen, made = high_pass(night), high_pass(output)
    result = []
    for x1, y1, x2, y2 in whole_boxes(boxes, x_ref.shape):
        place = np.s_[y1:y2, x1:x2]
        result.append(is_shown(apart[place] > OFF, seen[place], made[place]))
    return np.array(result, bool)


def is_shown(off: Mask, seen: Plane, made: Plane) -> bool:
    """Whether a place is shown: enough of its pixels are ``off``, and its high-pass is like the night's."""
    return bool(off.mean() >= SHARE) and correlation(seen, made) >= LIKENESS


def still_background(night: Image, n_ref: Image) -> Mask:
    """bool (H, W): where nothing is by the evidence, with a margin."""
    return clear_of(things(night, n_ref))


def outside_boxes(boxes: Boxes, shape: tuple[int, ...]) -> Mask:
    """bool (H, W): what lies in no box, of whatever size, with a margin."""
    inside = np.zeros(shape[:2], bool)
    for x1, y1, x2, y2 in boxes:
        inside[max(0, int(y1)) : int(np.ceil(y2)), max(0, int(x1)) : int(np.ceil(x2))] = True
    return clear_of(inside)


def clear_of(mask: Mask) -> Mask:
    """bool (H, W): what lies at least ``MARGIN`` pixels outside ``mask``."""
    side = 2 * MARGIN + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) == 0)


def correlation(a: Plane, b: Plane) -> float:
    """Pearson's correlation of two planes; 0 where one of them is flat."""
    x, y = a - a.mean(), b - b.mean()
    both = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / both if both > 1e-6 else 0.0


def _apart(output: Image, x_ref: Image) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Mean squared, and largest absolute difference of the channels, (H, W) each."""
    apart = output.astype(np.int16) - x_ref
    return (apart.astype(np.float64) ** 2).mean(axis=2), np.abs(apart).max(axis=2)


def high_pass(picture: Image) -> Plane:
    """The fine structure of a picture's luma, float32 (H, W)."""
    plane = luma(picture)
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), HIGH_PASS), np.float32)


def whole_boxes(boxes: Boxes, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """The boxes that count: left, top, right, bottom, whole pixels within the picture."""
    height, width = shape[:2]
    kept = []
    for x1, y1, x2, y2 in boxes:
        if (x2 - x1) * (y2 - y1) < LEAST_AREA:
            continue
        left, top = max(0, int(np.floor(x1))), max(0, int(np.floor(y1)))
        right, bottom = min(width, int(np.ceil(x2))), min(height, int(np.ceil(y2)))
        if right > left and bottom > top:
            kept.append((left, top, right, bottom))
    return kept
