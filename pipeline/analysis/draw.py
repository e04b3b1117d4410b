"""What is drawn into a picture: that it is synthetic, brightened or old, and what was found on it.

Into a picture on a GPU it is drawn there: the mark goes up once, of what was found only what is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels

from ..core.pixels import copy_of
from ..core.stages import BatchItem, each
from .draw_found import draw_detections, draw_followed
from .ink import FONT

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MARK = "synthetic day"
# Height of the mark as a share of the picture's, and at the least in pixels: smaller letters cannot be read.
MARK_HEIGHT = 1 / 24
MARK_LEAST = 15


def draw_stage(items: Sequence[BatchItem]) -> Sequence[BatchItem]:
    """The stage that draws boxes and, on what the generator made, the mark."""
    return each(items, _draw, fault="draw")


def _draw(item: BatchItem) -> None:
    if item.detections or item.followed:
        if item.day is item.seen:  # which snapshots show undrawn
            item.day = copy_of(item.seen)
        if item.followed:
            draw_followed(item.day, item.followed)
        draw_detections(item.day, item.detections)
    if item.translated:
        draw_mark(item.day)
    elif item.brightened:
        draw_mark(item.day, f"brightened, {item.brightened}")


def draw_mark(rgb: Pixels, text: str = MARK) -> None:
    """Draw the mark in the lower right corner of ``rgb`` (H, W, 3), in place: one copy of a finished patch."""
    height, width = rgb.shape[:2]
    if not isinstance(rgb, np.ndarray):
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


@lru_cache(maxsize=32)
def _mark_on(text: str, height: int, width: int, device: torch.device) -> Tensor:
    import torch

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
