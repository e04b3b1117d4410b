"""Strokes, tints and labels in pictures, on the host or on a GPU, where of a picture only what is drawn goes up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels

from ..core.found import Point

FONT = cv2.FONT_HERSHEY_SIMPLEX
Colour = tuple[int, int, int]
Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns of pixels."""

# Coordinates are cut here; OpenCV takes 16 bits for some.
FARTHEST = 16_000


def line_width(height: int) -> int:
    """How wide lines are in a picture of this height, in pixels."""
    return max(1, round(height / 360))


def draw_label(rgb: Pixels, text: str, *, left: int, above: int, below: int, colour: Colour) -> None:
    """Draw black text on a plate of ``colour``, above a row, or where there is no room below one.

    It is moved into the picture where it would stand out of it.
    """
    height, width = rgb.shape[:2]
    line, scale = line_width(height), max(0.35, height / 1200)
    (text_width, text_height), under = cv2.getTextSize(text, FONT, scale, line)
    tall = text_height + under
    left = max(0, min(left, width - text_width))
    top = max(0, above - tall if above >= tall else min(below, height - tall))
    if not isinstance(rgb, np.ndarray):
        import torch

        label = np.full((tall + 1, text_width + 1, 3), colour, np.uint8)
        cv2.putText(label, text, (0, text_height), FONT, scale, (0, 0, 0), line, cv2.LINE_AA)
        label = np.ascontiguousarray(label[: height - top, : width - left])
        rgb[top : top + label.shape[0], left : left + label.shape[1]] = torch.from_numpy(label).to(rgb.device)
        return
    cv2.rectangle(rgb, (left, top), (left + text_width, top + tall), colour, cv2.FILLED)
    cv2.putText(rgb, text, (left, top + text_height), FONT, scale, (0, 0, 0), line, cv2.LINE_AA)


def paint(rgb: Pixels, places: Places, colour: Colour, *, quarters: int = 4) -> None:
    """Give pixels a colour, of which so many quarters show, in place."""
    rows, columns = places
    if not isinstance(rgb, np.ndarray):
        import torch

        # Four bytes of a pixel go up; no picture is as large as 16 bits tell.
        where = torch.from_numpy(np.stack((rows, columns)).astype(np.int16)).to(rgb.device).long()
        ink = torch.tensor(colour, dtype=torch.int16).to(rgb.device)
        there = rgb[where[0], where[1]].to(torch.int16)
        rgb[where[0], where[1]] = ((there * (4 - quarters) + ink * quarters) // 4).to(torch.uint8)
        return
    under = rgb[rows, columns].astype(np.int16)
    rgb[rows, columns] = ((under * (4 - quarters) + np.array(colour, np.int16) * quarters) // 4).astype(
        np.uint8
    )


def stroke(points: Sequence[Point], *, size: tuple[int, int], closed: bool = False) -> Places:
    """The pixels of a line through points (x, y), in a picture of ``size`` (height, width)."""
    line = line_width(size[0])
    corners, canvas, (left, top) = _canvas(points, size=size, margin=line + 1)
    if canvas.size:
        cv2.polylines(canvas, [corners], closed, 1, line)
    return _placed(canvas, left, top)


def filled(points: Sequence[Point], *, size: tuple[int, int]) -> Places:
    """The pixels within a polygon."""
    corners, canvas, (left, top) = _canvas(points, size=size, margin=0)
    if canvas.size:
        cv2.fillPoly(canvas, [corners], (1,))
    return _placed(canvas, left, top)


@lru_cache(maxsize=128)
def still_stroke(points: tuple[Point, ...], *, size: tuple[int, int], closed: bool = False) -> Places:
    """``stroke`` of what is drawn into each picture, given as shares of its width and height."""
    height, width = size
    return stroke([(x * (width - 1), y * (height - 1)) for x, y in points], size=size, closed=closed)


def _canvas(
    points: Sequence[Point], *, size: tuple[int, int], margin: int
) -> tuple[NDArray[np.int32], NDArray[np.uint8], tuple[int, int]]:
    """The part of a picture in which points lie, the points in it, and where that is (left, top)."""
    corners = np.rint(np.clip(np.asarray(points, np.float64), -FARTHEST, FARTHEST)).astype(np.int32)
    least, most = corners.min(axis=0) - margin, corners.max(axis=0) + margin + 1
    limits = np.array((size[1], size[0]))
    least, most = np.clip(least, 0, limits), np.clip(most, 0, limits)
    across, down = (int(side) for side in np.maximum(most - least, 0))
    return (
        corners - least.astype(np.int32),
        np.zeros((down, across), np.uint8),
        (int(least[0]), int(least[1])),
    )


def _placed(canvas: NDArray[np.uint8], left: int, top: int) -> Places:
    rows, columns = np.nonzero(canvas)
    return rows + top, columns + left
