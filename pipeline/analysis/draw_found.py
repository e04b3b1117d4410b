"""What is drawn of detection: boxes and masks, where objects came from, zones and lines with their counts."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from nightday.engines.detection.detections import Detection
from nightday.engines.device_copies import Pixels

from ..core.found import Followed, Line
from .ink import Colour, draw_label, filled, line_width, paint, still_stroke, stroke

PALETTE: tuple[Colour, ...] = (
    *((255, 190, 60), (90, 220, 255), (255, 110, 110)),
    *((140, 255, 140), (230, 150, 255), (255, 255, 110)),
)
# Zones and lines.
AREA: Colour = (245, 245, 245)
# Quarters of the colour that show of a mask, and of the edges of zones.
MASK, EDGE = 1, 2
# Length of the arrow from a line to the side on which one is in, as a share of the picture's height.
ARROW = 0.03


def draw_detections(rgb: Pixels, detections: Sequence[Detection]) -> None:
    """Draw boxes with class and number or confidence, and masks, on ``rgb`` (H, W, 3), in place, cut at its edges.

    Where objects have numbers confidences are left out, since labels hide what lies under them.
    """
    size = height, width = rgb.shape[0], rgb.shape[1]
    shown = [one for one in detections if all(math.isfinite(edge) for edge in one.box)]
    labels = []
    for found in shown:
        x1, y1, x2, y2 = (
            int(min(max(round(edge), 0), limit - 1))
            for edge, limit in zip(found.box, (width, height) * 2, strict=True)
        )
        colour = colour_of(found.label)
        if len(found.outline) > 2:
            paint(rgb, filled(found.outline, size=size), colour, quarters=MASK)
            paint(rgb, stroke(found.outline, size=size, closed=True), colour)
        _outline(rgb, (x1, y1, x2, y2), colour, line_width(height))
        about = f"{found.confidence:.2f}" if found.track is None else f"{found.track}"
        labels.append((f"{found.label} {about}", x1, y1, colour))
    for text, left, top, colour in labels:  # last, so that no box runs through them
        draw_label(rgb, text, left=left, above=top, below=top, colour=colour)


def draw_followed(rgb: Pixels, followed: Followed) -> None:
    """Draw where objects came from, and zones and lines with what was counted, on ``rgb`` (H, W, 3), in place."""
    size = height, width = rgb.shape[0], rgb.shape[1]
    for label, way in followed.tails:
        paint(rgb, stroke(way, size=size), colour_of(label))
    for zone in followed.zones:
        paint(rgb, still_stroke(zone.points, size=size, closed=True), AREA, quarters=EDGE)
    for line in followed.lines:
        for points in _arrow(line, size):
            paint(rgb, still_stroke(points, size=size), AREA, quarters=EDGE + 1)
    # Labels last, so that no edge runs through them.
    for zone in followed.zones:
        x, y = min(zone.points, key=lambda point: (point[1], point[0]))
        _label(rgb, f"{zone.name} {zone.count}", x * width, y * height)
    for line in followed.lines:
        x, y = line.start
        _label(rgb, f"{line.name} in {line.went_in} out {line.went_out}", x * width, y * height)


def colour_of(label: str) -> Colour:
    """A class's colour, the same in every run."""
    return PALETTE[zlib.crc32(label.encode()) % len(PALETTE)]


def _label(rgb: Pixels, text: str, x: float, y: float) -> None:
    draw_label(rgb, text, left=round(x), above=round(y), below=round(y), colour=AREA)


def _arrow(
    line: Line, size: tuple[int, int]
) -> tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """A line, and an arrow from its middle to the side on which one is in; all as shares of the picture's sides."""
    height, width = size
    along = np.array(line.end) * (width, height) - np.array(line.start) * (width, height)
    length = float(np.hypot(*along)) or 1.0
    # y points down, so this is to the left of one who looks along the line.
    aside = np.array((along[1], -along[0])) / length
    forward = along / length
    reach = ARROW * height
    middle = (np.array(line.start) + line.end) / 2 * (width, height)
    tip = middle + reach * aside
    wings = [tip - reach * 0.4 * (aside + sign * forward) for sign in (1, -1)]
    points = [middle, tip, wings[0], tip, wings[1]]
    return (line.start, line.end), tuple((float(x / width), float(y / height)) for x, y in points)


def _outline(rgb: Pixels, box: tuple[int, int, int, int], colour: Colour, line: int) -> None:
    """The edges of a box; on a GPU as four filled rectangles, as wide as OpenCV draws a line; it rounds corners."""
    x1, y1, x2, y2 = box
    if isinstance(rgb, np.ndarray):
        cv2.rectangle(rgb, (x1, y1), (x2, y2), colour, line)
        return
    reach = 0 if line == 1 else (line + 1) // 2
    import torch

    ink = torch.tensor(colour, dtype=torch.uint8).to(rgb.device)
    across, down = (slice(max(0, a - reach), b + reach + 1) for a, b in ((x1, x2), (y1, y2)))
    for y in (y1, y2):
        rgb[max(0, y - reach) : y + reach + 1, across] = ink
    for x in (x1, x2):
        rgb[down, max(0, x - reach) : x + reach + 1] = ink
