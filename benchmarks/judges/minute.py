"""The backgrounds that a minute of traffic would give, made of an annotated clip of ten seconds.

In ten seconds a queue hardly moves, so that the median shows it; after a minute it would not. The annotators' boxes
tell where vehicles are that do not park: there a frame does not count for the median. Where one stands through all of
the clip the picture is filled in from around, and the share of that is told.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.train.footage.scene import Image, SceneError
from nightday.train.scores.detection_scores import Boxes

# By how much a box is grown on each side, share of its own side: a vehicle's shadow and what the annotators cut off.
GROWN = 0.1
# Frames in which a pixel must be free of vehicles; fewer are no median.
FEWEST = 5
# Pixels around what is filled in that it is made of.
AROUND = 3


@dataclass(frozen=True, slots=True)
class Minute:
    """What a camera would know after a minute.

    Attributes:
        x_ref: uint8 RGB (H, W, 3).
        emptied: the frames, with x_ref where vehicles are.
        filled: share of x_ref that no frame shows free.
    """

    x_ref: Image
    emptied: list[Image]
    filled: float


def read_passing(table: Path) -> dict[int, Boxes]:
    """Boxes by frame of the vehicles that do not park. Raises SceneError where the file does not tell."""
    found: dict[int, list[list[float]]] = defaultdict(list)
    try:
        with table.open(newline="") as lines:
            for row in csv.DictReader(lines):
                if int(row["parked"]) == 0:
                    found[int(row["frame"])].append([float(row[edge]) for edge in ("x1", "y1", "x2", "y2")])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SceneError(f"{table}: tells of no parked vehicles ({type(error).__name__}: {error})") from None
    return {frame: np.array(boxes) for frame, boxes in found.items()}


def after_a_minute(frames: Sequence[Image], passing: dict[int, Boxes]) -> Minute:
    """The backgrounds' days, of frames and of the boxes of what passes there."""
    height, width = frames[0].shape[:2]
    taken = [_taken(passing.get(number), height, width) for number in range(len(frames))]
    x_ref = np.zeros_like(frames[0])
    unseen = np.zeros((height, width), bool)
    # Row by row: all frames at once, with gaps, would take gigabytes.
    for row in range(height):
        line = np.stack([frame[row] for frame in frames]).astype(np.float32)
        line[np.stack([mask[row] for mask in taken])] = np.nan
        free = np.isfinite(line[..., 0]).sum(axis=0)
        unseen[row] = free < FEWEST
        seen = ~unseen[row]
        x_ref[row, seen] = np.rint(np.nanmedian(line[:, seen], axis=0))
    x_ref = np.asarray(cv2.inpaint(x_ref, unseen.astype(np.uint8), AROUND, cv2.INPAINT_TELEA), np.uint8)
    emptied = [np.where(mask[..., None], x_ref, frame) for frame, mask in zip(frames, taken, strict=True)]
    return Minute(x_ref, emptied, float(unseen.mean()))


def _taken(boxes: Boxes | None, height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in boxes if boxes is not None else ():
        dx, dy = GROWN * (x2 - x1), GROWN * (y2 - y1)
        top, left = max(0, int(y1 - dy)), max(0, int(x1 - dx))
        mask[top : int(np.ceil(y2 + dy)), left : int(np.ceil(x2 + dx))] = True
    return mask
