"""Where a generator has to run, when it changes the picture at a few places alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...native.library import Floats
from ..compiled_sizes import Size

# All of these are in pixels of the generator's input, half as many as the frame's.

# Sides of the squares that the generator is compiled for beside the whole.
SIDES = (80, 112)
# What is drawn in a square lies so far from its border, if that is not the picture's: see benchmarks/NOTES.md.
CONTEXT = 16
# Squares begin at multiples of this, as the generator halves its input twice more.
STEP = 4
# Near is known by cells of two pixels, and interpolation carries it one pixel on.
CELL, SPREAD = 2, 2
# Squares are run where they come to less than this share of the whole, with what a call costs added to each.
MOST, CALL = 0.7, 0.03


@dataclass(frozen=True, slots=True)
class Box:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the last ones excluded."""

    top: int
    left: int
    bottom: int
    right: int

    def with_(self, other: Box) -> Box:
        """The least box that holds both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    @property
    def size(self) -> Size:
        """Its height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Region:
    """A square that the generator runs on, and the part of it that counts."""

    square: Box
    counts: Box


def sizes(whole: Size) -> list[Size]:
    """The sizes that are worth compiling beside ``whole``, the smallest first."""
    height, width = whole
    made = [(min(side, height), min(side, width)) for side in SIDES]
    return [size for size in made if size[0] * size[1] / (height * width) + CALL < MOST]


def regions(near: Floats, whole: Size, available: Sequence[Size]) -> list[Region] | None:
    """Where the generator has to run; None where it is cheaper to run it on the whole.

    Args:
        near: above 0 where something may be drawn, (h / 2, w / 2).
        whole: (h, w).
        available: sizes of squares, the smallest first.
    """
    height, width = whole
    groups: list[Box] = []
    most = int(MOST / (CALL + available[0][0] * available[0][1] / (height * width))) if available else 0
    for box in _boxes(near, whole):
        for at, group in enumerate(groups):
            if _square(group.with_(box), whole, available[0]) is not None:
                groups[at] = group.with_(box)
                break
        else:
            groups.append(box)
            if len(groups) > most:
                return None
    made, share = [], 0.0
    for group in groups:
        fitting = (_square(group, whole, size) for size in available)
        square = next((one for one in fitting if one is not None), None)
        if square is None:
            return None
        share += CALL + square.size[0] * square.size[1] / (height * width)
        made.append(Region(square, _inner(square, whole)))
    return made if share < MOST else None


def _boxes(near: Floats, whole: Size) -> Iterable[Box]:
    """Boxes around all that hangs together, the largest first."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((near > 0).astype(np.uint8))
    for left, top, across, down, _ in sorted(stats[1:].tolist(), key=lambda one: -one[2] * one[3]):
        yield Box(
            max(0, CELL * top - SPREAD),
            max(0, CELL * left - SPREAD),
            min(whole[0], CELL * (top + down) + SPREAD),
            min(whole[1], CELL * (left + across) + SPREAD),
        )


def _square(box: Box, whole: Size, size: Size) -> Box | None:
    """A square of a size with ``box`` and the context around it; None where it does not fit in."""
    ends = []
    for first, last, length, side in zip(
        (box.top, box.left), (box.bottom, box.right), whole, size, strict=True
    ):
        low, high = max(0, first - CONTEXT), min(length, last + CONTEXT)
        begin = min(low - low % STEP, length - side)
        if begin + side < high:
            return None
        ends.append((begin, begin + side))
    (top, bottom), (left, right) = ends
    return Box(top, left, bottom, right)


def _inner(square: Box, whole: Size) -> Box:
    """Of a square what lies far enough from its border."""
    height, width = whole
    return Box(
        square.top + (CONTEXT if square.top else 0),
        square.left + (CONTEXT if square.left else 0),
        square.bottom - (CONTEXT if square.bottom < height else 0),
        square.right - (CONTEXT if square.right < width else 0),
    )
