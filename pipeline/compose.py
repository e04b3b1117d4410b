"""What is drawn into a picture: the mark that says it is synthetic, and the boxes of what was found on it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.detections import Detection

MARK = "synthetic day"
MARK_HEIGHT = 1 / 24  # of the picture's height, yet at least
MARK_LEAST = 15  # pixels, below which the letters cannot be read
FONT = cv2.FONT_HERSHEY_SIMPLEX
PALETTE = ((255, 190, 60), (90, 220, 255), (255, 110, 110), (140, 255, 140), (230, 150, 255), (255, 255, 110))


def draw_mark(rgb: NDArray[np.uint8]) -> None:
    """Draw the mark in the lower right corner of ``rgb`` (H, W, 3), in place: one copy of a finished patch."""
    height, width = rgb.shape[:2]
    patch = _mark(height, width)
    rgb[height - patch.shape[0] :, width - patch.shape[1] :] = patch


def draw_detections(rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> None:
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
        cv2.rectangle(rgb, (x1, y1), (x2, y2), colour, line)
        text = f"{found.label} {found.confidence:.2f}"
        (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, line)
        tall = text_height + below
        left = max(0, min(x1, width - text_width))
        top = y1 - tall if y1 >= tall else min(y1, height - tall)
        top = max(0, top)
        cv2.rectangle(rgb, (left, top), (left + text_width, top + tall), colour, cv2.FILLED)
        cv2.putText(rgb, text, (left, top + text_height), FONT, scale, (0, 0, 0), line, cv2.LINE_AA)


@lru_cache(maxsize=32)
def _mark(height: int, width: int) -> NDArray[np.uint8]:
    """The mark for a picture of this size, (h, w, 3): white on nearly black, legible whatever lies under it."""
    (text_width, text_height), below = cv2.getTextSize(MARK, FONT, 3.0, 7)
    edge = text_height // 5
    big = np.full((text_height + below + 2 * edge, text_width + 2 * edge, 3), 16, np.uint8)
    cv2.putText(big, MARK, (edge, edge + text_height), FONT, 3.0, (255, 255, 255), 7, cv2.LINE_AA)
    tall = min(max(MARK_LEAST, round(height * MARK_HEIGHT)), height)
    wide = min(round(big.shape[1] * tall / big.shape[0]), width)
    patch: NDArray[np.uint8] = np.asarray(
        cv2.resize(big, (wide, tall), interpolation=cv2.INTER_AREA), np.uint8
    )
    patch.flags.writeable = False
    return patch
