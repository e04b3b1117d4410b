"""What is drawn into a picture: that it is synthetic, brightened or old, and the boxes of what was found on it.

Into a picture on a GPU it is drawn there: the mark goes up once, of the boxes the letters alone, which are small.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines.detection.detections import Detection
from nightday.engines.device_copies import Pixels

from ..core.pixels import copy_of
from ..core.stages import BatchItem, each

MARK = "synthetic day"
# Height of the mark as a share of the picture's, and at the least in pixels: smaller letters cannot be read.
MARK_HEIGHT = 1 / 24
MARK_LEAST = 15
FONT = cv2.FONT_HERSHEY_SIMPLEX
PALETTE = ((255, 190, 60), (90, 220, 255), (255, 110, 110), (140, 255, 140), (230, 150, 255), (255, 255, 110))


def draw_stage(items: Sequence[BatchItem]) -> Sequence[BatchItem]:
    """The stage that draws boxes and, on what the generator made, the mark."""
    return each(items, _draw, fault="draw")


def _draw(item: BatchItem) -> None:
    if item.detections:
        if item.day is item.seen:  # which snapshots show undrawn
            item.day = copy_of(item.seen)
        draw_detections(item.day, item.detections)
    if item.translated:
        draw_mark(item.day)
    elif item.brightened:
        draw_mark(item.day, f"brightened, {item.brightened}")


def draw_mark(rgb: Pixels, text: str = MARK) -> None:
    """Draw the mark in the lower right corner of ``rgb`` (H, W, 3), in place: one copy of a finished patch."""
    height, width = rgb.shape[:2]
    if isinstance(rgb, Tensor):
        there = _mark_on(text, height, width, rgb.device)
        rgb[height - there.shape[0] :, width - there.shape[1] :] = there
        return
    patch = _mark(text, height, width)
    rgb[height - patch.shape[0] :, width - patch.shape[1] :] = patch


def draw_absence(rgb: NDArray[np.uint8], since: float) -> None:
    """Draw "no picture since …" in the upper left corner of ``rgb`` (H, W, 3), in place.

    ``since`` is when the picture came, in Unix seconds; shown in local time.
    """
    height, width = rgb.shape[:2]
    patch = _patch(f"no picture since {time.strftime('%H:%M:%S', time.localtime(since))}", height, width)
    rgb[: patch.shape[0], : patch.shape[1]] = patch


def draw_detections(rgb: Pixels, detections: Sequence[Detection]) -> None:
    """Draw boxes with their labels and confidences on ``rgb`` (H, W, 3), in place, cut at its edges."""
    height, width = rgb.shape[:2]
    line = max(1, round(height / 360))
    scale = max(0.35, height / 1200)
    for found in detections:
        if not all(math.isfinite(edge) for edge in found.box):
            continue
        x1, y1, x2, y2 = (
            int(min(max(round(edge), 0), limit - 1))
            for edge, limit in zip(found.box, (width, height) * 2, strict=True)
        )
        colour = PALETTE[zlib.crc32(found.label.encode()) % len(PALETTE)]  # the same in every run
        text = f"{found.label} {found.confidence:.2f}"
        (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, line)
        tall = text_height + below
        left = max(0, min(x1, width - text_width))
        top = y1 - tall if y1 >= tall else min(y1, height - tall)
        top = max(0, top)
        if isinstance(rgb, Tensor):
            _outline(rgb, (x1, y1, x2, y2), colour, line)
            label = np.full((tall + 1, text_width + 1, 3), colour, np.uint8)
            cv2.putText(label, text, (0, text_height), FONT, scale, (0, 0, 0), line, cv2.LINE_AA)
            label = np.ascontiguousarray(label[: height - top, : width - left])
            there = torch.from_numpy(label).to(rgb.device)
            rgb[top : top + label.shape[0], left : left + label.shape[1]] = there
            continue
        cv2.rectangle(rgb, (x1, y1), (x2, y2), colour, line)
        cv2.rectangle(rgb, (left, top), (left + text_width, top + tall), colour, cv2.FILLED)
        cv2.putText(rgb, text, (left, top + text_height), FONT, scale, (0, 0, 0), line, cv2.LINE_AA)


def _outline(rgb: Tensor, box: tuple[int, int, int, int], colour: tuple[int, int, int], line: int) -> None:
    """The edges of a box as four filled rectangles, as wide as OpenCV draws a line of ``line``; it rounds corners."""
    x1, y1, x2, y2 = box
    reach = 0 if line == 1 else (line + 1) // 2
    ink = torch.tensor(colour, dtype=torch.uint8).to(rgb.device)
    across, down = (slice(max(0, a - reach), b + reach + 1) for a, b in ((x1, x2), (y1, y2)))
    for y in (y1, y2):
        rgb[max(0, y - reach) : y + reach + 1, across] = ink
    for x in (x1, x2):
        rgb[down, max(0, x - reach) : x + reach + 1] = ink


@lru_cache(maxsize=32)
def _mark_on(text: str, height: int, width: int, device: torch.device) -> Tensor:
    return torch.from_numpy(_mark(text, height, width).copy()).to(device)


@lru_cache(maxsize=32)
def _mark(text: str, height: int, width: int) -> NDArray[np.uint8]:
    patch = _patch(text, height, width)
    patch.flags.writeable = False
    return patch


def _patch(text: str, height: int, width: int) -> NDArray[np.uint8]:
    """Text for a picture of this size, (h, w, 3): white on nearly black, legible whatever lies under it."""
    (text_width, text_height), below = cv2.getTextSize(text, FONT, 3.0, 7)
    edge = text_height // 5
    big = np.full((text_height + below + 2 * edge, text_width + 2 * edge, 3), 16, np.uint8)
    cv2.putText(big, text, (edge, edge + text_height), FONT, 3.0, (255, 255, 255), 7, cv2.LINE_AA)
    tall = min(max(MARK_LEAST, round(height * MARK_HEIGHT)), height)
    wide = min(round(big.shape[1] * tall / big.shape[0]), width)
    return np.asarray(cv2.resize(big, (wide, tall), interpolation=cv2.INTER_AREA), np.uint8)
