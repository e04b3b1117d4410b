"""Two detectors of COCO's classes as OpenVINO models, given by path: CenterNet (512²) and NanoDet (416²).

Both mix up kinds of vehicles in small pictures, so that all vehicles are one class here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection

# Car, motorcycle, bus and truck, counted from 0.
VEHICLES = (2, 3, 5, 7)
# Detections that are less sure are dropped: what is left is enough for the whole curve.
LEAST = 0.02
# Overlap (IoU) from which on the less sure of two is dropped.
SAME = 0.5
# NanoDet's mean and standard deviation of B, G and R, and the sides of its cells, pixels.
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
STRIDES = (8, 16, 32)

Rows = NDArray[np.float64]
"""(N, 5): x1, y1, x2, y2 in pixels of the picture, confidence."""
Judge = Callable[[NDArray[np.uint8]], list[list[Detection]]]
"""uint8 RGB (N, H, W, 3) → vehicles of each picture, the highest confidence first."""


def centernet(path: Path) -> Judge:
    """CenterNet: float (1, 512, 512, 3) RGB in levels → (1, 100, 6): box in its pixels, confidence, class."""
    model = _compiled(path)

    def find(picture: NDArray[np.uint8]) -> Rows:
        small = cv2.resize(picture, (512, 512)).astype(np.float32)
        rows = np.asarray(model(small[None])[0][0], np.float64)
        rows = rows[np.isin(rows[:, 5].astype(int), VEHICLES)]
        return rows[:, :5] * (*_scale(picture, 512), 1.0)

    return _judge(find)


def nanodet(path: Path) -> Judge:
    """NanoDet: float (1, 3, 416, 416) BGR, normalised → scores by stride, then distances to the sides by stride."""
    model = _compiled(path)

    def find(picture: NDArray[np.uint8]) -> Rows:
        small = cv2.resize(picture, (416, 416))[..., ::-1].astype(np.float32)
        small = (small - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        made = [np.asarray(each[0], np.float64) for each in model(small.transpose(2, 0, 1)[None].copy())]
        parts = [
            decoded(scores, sides, stride)
            for scores, sides, stride in zip(made[:3], made[3:], STRIDES, strict=True)
        ]
        return np.concatenate(parts) * (*_scale(picture, 416), 1.0)

    return _judge(find)


JUDGES: dict[str, Callable[[Path], Judge]] = {"CenterNet": centernet, "NanoDet": nanodet}


def decoded(scores: Rows, sides: Rows, stride: int) -> Rows:
    """Boxes of one stride of NanoDet, in pixels of its input.

    The distance from a cell's middle to each side is the mean of a distribution over whole strides (Li et al., 2020).

    Args:
        scores: (cells, classes), 0 to 1; cells row by row of a square.
        sides: (cells, 4 · bins), logits for left, top, right, bottom.
        stride: pixels of a cell's side.
    """
    count = round(len(scores) ** 0.5)
    down, across = np.divmod(np.arange(len(scores)), count)
    x, y = ((at + 0.5) * stride - 0.5 for at in (across, down))
    logits = sides.reshape(len(sides), 4, -1)
    weight = np.exp(logits - logits.max(axis=2, keepdims=True))
    weight /= weight.sum(axis=2, keepdims=True)
    left, top, right, bottom = ((weight * np.arange(weight.shape[2])).sum(axis=2) * stride).T
    sure = scores[:, VEHICLES].max(axis=1)
    return np.stack([x - left, y - top, x + right, y + bottom, sure], axis=1)


def distinct(rows: Rows) -> Rows:
    """Without those that overlap a surer one, the surest first."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    rows = rows[rows[:, 4] >= LEAST]
    kept: list[NDArray[np.float64]] = []
    while len(rows):
        kept.append(rows[0])
        rows = rows[1:][_overlaps(rows[0], rows[1:]) < SAME]
    return np.array(kept).reshape(-1, 5)


def _judge(find: Callable[[NDArray[np.uint8]], Rows]) -> Judge:
    def judge(pictures: NDArray[np.uint8]) -> list[list[Detection]]:
        return [
            [
                Detection("vehicle", float(row[4]), (row[0], row[1], row[2], row[3]))
                for row in distinct(find(picture))
            ]
            for picture in pictures
        ]

    return judge


def _compiled(path: Path) -> Callable[[NDArray[np.float32]], list[Any]]:
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    return lambda given: list(model(given).values())


def _scale(picture: NDArray[np.uint8], side: int) -> tuple[float, float, float, float]:
    height, width = picture.shape[:2]
    return width / side, height / side, width / side, height / side


def _overlaps(one: NDArray[np.float64], others: Rows) -> NDArray[np.float64]:
    """IoU of a box with others."""
    sides = np.minimum(one[2:4], others[:, 2:4]) - np.maximum(one[:2], others[:, :2])
    both = np.clip(sides, 0, None).prod(axis=1)
    areas = (one[2:4] - one[:2]).prod() + (others[:, 2:4] - others[:, :2]).prod(axis=1)
    return np.asarray(both / (areas - both + 1e-9))
