"""The things in a camera's nights, and whether they are shown: by labelled boxes, or else by the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..footage.evidence import things
from ..footage.scene import Image
from .image_distances import Mask
from .scorer import decibel
from .shown import LEAST_AREA, OFF, clear_of, high_pass, is_shown, outside_boxes, whole_boxes

# Share of the picture from which on a thing is large: a car in the middle distance.
LARGE = 0.001

Boxes = NDArray[np.float64]
"""(N, 4): x1, y1, x2, y2 in pixels."""


Region = tuple[tuple[int, int, int, int], Mask]
"""A box, left, top, right, bottom, and which of its pixels belong to the thing, bool (H, W)."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a night.

    Attributes:
        picture: the number of the night, from 0.
        box: left, top, right, bottom in pixels.
        share: of the picture that it covers.
        shown: whether it is in the output.
    """

    picture: int
    box: tuple[int, int, int, int]
    share: float
    shown: bool


@dataclass(frozen=True, slots=True)
class NightsShown:
    """What outputs show of their nights, and how clean they are, picture by picture.

    Attributes:
        things: everything there is, in every picture.
        labelled: whether they are labelled boxes; else they are strong evidence with structure.
        night, output: PSNR of each night and of each output to x_ref where nothing is, dB.
        off: share of these pixels of all outputs that is off by more than ``OFF`` grey levels.
    """

    things: tuple[Thing, ...]
    labelled: bool
    night: tuple[float, ...]
    output: tuple[float, ...]
    off: float

    @property
    def share(self) -> float:
        """Share of the things that is shown; NaN where there is none."""
        return float(np.mean([thing.shown for thing in self.things])) if self.things else float("nan")

    @property
    def hidden(self) -> list[Thing]:
        """Large things that are not shown, the largest first."""
        missing = [thing for thing in self.things if thing.share >= LARGE and not thing.shown]
        return sorted(missing, key=lambda thing: -thing.share)


def nights_shown(
    nights: Sequence[Image],
    outputs: Sequence[Image],
    *,
    x_ref: Image,
    n_ref: Image,
    boxes: Sequence[Boxes] = (),
    keep: Mask | None = None,
) -> NightsShown:
    """Look for each night's things in its output, uint8 RGB (H, W, 3) each.

    Args:
        nights, outputs: of one camera, in the same order.
        x_ref, n_ref: its backgrounds.
        boxes: what is labelled in each night; none for going by the evidence.
        keep: bool (H, W), False in burned-in labels.
    """
    everywhere = np.ones(x_ref.shape[:2], bool) if keep is None else keep
    found: list[Thing] = []
    levels: list[list[float]] = [[], []]
    off, count = 0, 0
    for number, (night, output) in enumerate(zip(nights, outputs, strict=True)):
        given = boxes[number] if boxes else np.zeros((0, 4))
        evident = things(night, n_ref)
        regions = _labelled(given, x_ref.shape) if boxes else _regions(evident & everywhere)
        found += _sought(number, night, output, x_ref, regions)
        still = everywhere & clear_of(evident) & outside_boxes(given, x_ref.shape)
        for picture, values in zip((night, output), levels, strict=True):
            apart = picture.astype(np.int16) - x_ref
            squared = (apart.astype(np.float64) ** 2)[still]
            values.append(decibel(float(squared.mean())) if squared.size else float("nan"))
        off += int((np.abs(output.astype(np.int16) - x_ref).max(axis=2)[still] > OFF).sum())
        count += int(still.sum())
    return NightsShown(
        things=tuple(found),
        labelled=bool(boxes),
        night=tuple(levels[0]),
        output=tuple(levels[1]),
        off=off / count if count else float("nan"),
    )


def boxes_of(mask: Mask) -> Boxes:
    """The boxes around the connected regions of a mask."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    corner, size = stats[1:, :2].astype(np.float64), stats[1:, 2:4]
    return np.hstack([corner, corner + size])


def _sought(number: int, night: Image, output: Image, x_ref: Image, regions: Sequence[Region]) -> list[Thing]:
    seen, made = high_pass(night), high_pass(output)
    off = np.abs(output.astype(np.int16) - x_ref).max(axis=2) > OFF
    result = []
    for (left, top, right, bottom), mask in regions:
        place = np.s_[top:bottom, left:right]
        shown = is_shown(off[place][mask], seen[place], made[place])
        share = float(mask.sum()) / off.size
        result.append(Thing(number, (left, top, right, bottom), share, shown))
    return result


def _labelled(boxes: Boxes, shape: tuple[int, ...]) -> list[Region]:
    return [(box, np.ones((box[3] - box[1], box[2] - box[0]), bool)) for box in whole_boxes(boxes, shape)]


def _regions(mask: Mask) -> list[Region]:
    """Connected regions of evidence with structure, each as its box and its mask within it."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    found: list[Region] = []
    for i in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[i])
        if area >= LEAST_AREA:
            box = (left, top, left + width, top + height)
            found.append((box, regions[top : top + height, left : left + width] == i))
    return found
