"""Puts together what was found on the day view and what was found on the night of the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection

# Overlap from which two boxes of a class, one on each view, are of one object.
SAME = 0.5


def merge_views(day: Sequence[Detection], night: Sequence[Detection]) -> list[Detection]:
    """All detections of both views, the most confident first, each with its ``view``.

    Nothing that was found on the night is left out, moved or made less confident: the merge only adds. A detection
    of the day view that overlaps one of the night, of the same class, by ``SAME`` and more is taken to be of the
    same object; the one of the night stands for both, with the higher confidence. Each stands for one at most, the
    pairs with the largest overlap first.
    """
    pairs = _overlaps(day, night)
    of_night: dict[int, int] = {}
    while pairs.size and pairs.max() >= SAME:
        at_day, at_night = np.unravel_index(pairs.argmax(), pairs.shape)
        of_night[int(at_night)] = int(at_day)
        pairs[at_day], pairs[:, at_night] = 0, 0
    merged = [
        replace(one, view="both", confidence=max(one.confidence, day[of_night[index]].confidence))
        if index in of_night
        else replace(one, view="night")
        for index, one in enumerate(night)
    ]
    matched = set(of_night.values())
    merged += [replace(one, view="day") for index, one in enumerate(day) if index not in matched]
    return sorted(merged, key=lambda one: -one.confidence)


def _overlaps(day: Sequence[Detection], night: Sequence[Detection]) -> NDArray[np.float64]:
    """Intersection over union of each detection by day with each by night; 0 where their classes differ."""
    a, b = (np.array([one.box for one in found], np.float64).reshape(-1, 4) for found in (day, night))
    corners = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(corners[1] - corners[0], 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    same = np.array([[one.label == other.label for other in night] for one in day], bool).reshape(
        shared.shape
    )
    return np.where(same & (union > 0), shared / np.where(union > 0, union, 1), 0.0)
