"""How well a detector does on pictures: its detections compared with boxes drawn by hand.

Classes do not count. An overlap (IoU) of one half makes a match; average precision is the area under the
precision-recall curve made monotone.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..footage.scene import Image, SceneError

Boxes = NDArray[np.float64]
"""(N, 4): x1, y1, x2, y2 in pixels."""

# Pixels; thinner boxes are slivers of vehicles at the picture's edge.
LEAST = 6.0
# Pixels above the farthest boxes in which there are vehicles without boxes.
FAR = 40
# Confidence from which on a detection is shown to people.
SURE = 0.25
# Square root of a box's area in pixels: below the first a box is small, from the second on large.
SIZES = (16.0, 32.0)


class DetectedBox(Protocol):
    """One detection on a picture."""

    @property
    def confidence(self) -> float:
        """0 to 1."""
        ...

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in pixels."""
        ...


Detector = Callable[[NDArray[np.uint8]], Sequence[Sequence[DetectedBox]]]
"""A detector: uint8 RGB (N, H, W, 3) → detections of each picture, the highest confidence first."""


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """How well a detector does on annotated pictures.

    Attributes:
        ap50: average precision at an overlap of one half, all confidences.
        precision, recall: at confidence ``SURE``.
        recall_small, recall_medium, recall_large: of boxes by ``SIZES``; NaN where there is none.
        pictures, boxes: what was scored.
    """

    ap50: float
    precision: float
    recall: float
    recall_small: float
    recall_medium: float
    recall_large: float
    pictures: int
    boxes: int


def read_boxes(table: Path) -> dict[int, Boxes]:
    """Boxes by frame, from a CSV with the columns frame, x1, y1, x2, y2. Raises SceneError where it is not one."""
    found: dict[int, list[list[float]]] = defaultdict(list)
    try:
        with table.open(newline="") as lines:
            for row in csv.DictReader(lines):
                found[int(row["frame"])].append([float(row[edge]) for edge in ("x1", "y1", "x2", "y2")])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SceneError(
            f"{table}: cannot be read as boxes ({type(error).__name__}: {error}); it needs the columns "
            "frame, x1, y1, x2, y2"
        ) from None
    return {frame: np.array(boxes) for frame, boxes in found.items()}


def thinner_side(boxes: Boxes) -> NDArray[np.float64]:
    """The shorter side of each box, pixels."""
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def far_zone(boxes: Iterable[Boxes], height: int, width: int) -> NDArray[np.bool_]:
    """Where the annotators stopped, bool (H, W): the band above the topmost box of all pictures in each column.

    Vehicles there are visible but have no boxes; a detector should be neither trained nor scored there.
    """
    top = np.full(width, height)
    for x1, y1, x2, _ in np.concatenate(list(boxes)):
        columns = slice(max(0, int(x1)), int(np.ceil(x2)))
        top[columns] = np.minimum(top[columns], int(y1))
    rows = np.arange(height)[:, np.newaxis]
    return (rows < top) & (rows >= top - FAR) & (top < height)


def score_detections(
    detect: Detector, pictures: Sequence[Image], boxes: Sequence[Boxes], *, lenient: bool = True
) -> DetectionScore:
    """Score ``detect`` on ``pictures``, uint8 RGB (H, W, 3), against each one's boxes.

    The detector must give detections of low confidence too, or the curve is cut short. They are matched from the
    highest confidence down, each to the free box it overlaps most. ``lenient`` does not count boxes thinner than
    ``LEAST`` and what matches them, nor unmatched detections that lie in the ``far_zone`` with more than half their
    area.
    """
    matched = match_all(detect, pictures, boxes, lenient=lenient)
    matches = [(one.confidence, one.size is not None) for one in matched.found]
    counted_as_found = [right for confidence, right in matches if confidence > SURE]
    small, medium, large = matched.recall_by_size(SURE)
    return DetectionScore(
        ap50=average_precision(matches, len(matched.sizes)),
        precision=_share(np.array(counted_as_found, bool)),
        recall=matched.recall(SURE),
        recall_small=small,
        recall_medium=medium,
        recall_large=large,
        pictures=len(pictures),
        boxes=len(matched.sizes),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """One detection that counts: its confidence, and the size of the box that it matches, None for a false alarm."""

    confidence: float
    size: float | None


@dataclass(frozen=True, slots=True)
class Matched:
    """All that a detector found on annotated pictures, and the sizes of all boxes, square roots of areas, pixels."""

    found: tuple[Found, ...]
    sizes: tuple[float, ...]

    def confidence_at(self, precision: float) -> float:
        """The confidence above which most is found at no less than that precision; infinite where there is none."""
        order = sorted(self.found, key=lambda one: -one.confidence)
        right = np.array([one.size is not None for one in order], bool)
        enough = np.flatnonzero(right.cumsum() / np.arange(1, len(right) + 1) >= precision)
        if not enough.size:
            return float("inf")
        return float(np.nextafter(order[int(enough[-1])].confidence, -np.inf))

    def recall(self, confidence: float) -> float:
        """Share of the boxes that is found above that confidence."""
        return self._recall(confidence, 0.0, np.inf)

    def recall_by_size(self, confidence: float) -> tuple[float, float, float]:
        """The same of small, medium and large boxes; NaN where there is none."""
        edges = (0.0, *SIZES, np.inf)
        small, medium, large = (self._recall(confidence, low, high) for low, high in pairwise(edges))
        return small, medium, large

    def _recall(self, confidence: float, low: float, high: float) -> float:
        every = sum(low <= size < high for size in self.sizes)
        seen = sum(
            one.confidence > confidence and one.size is not None and low <= one.size < high
            for one in self.found
        )
        return seen / every if every else float("nan")


def match_all(
    detect: Detector, pictures: Sequence[Image], boxes: Sequence[Boxes], *, lenient: bool = True
) -> Matched:
    """Match every detection; see ``score_detections`` for what counts."""
    zone = far_zone(boxes, *pictures[0].shape[:2]) if lenient else None
    matches: list[Found] = []
    sizes: list[float] = []
    for picture, truth in zip(pictures, boxes, strict=True):
        counted = thinner_side(truth) >= LEAST if lenient else np.ones(len(truth), bool)
        size = np.sqrt((truth[:, 2:] - truth[:, :2]).prod(1))
        found = detect(picture[np.newaxis])[0]
        for one, matched in zip(found, match([one.box for one in found], truth), strict=True):
            if matched is None:
                if zone is None or not mostly_in(zone, one.box):
                    matches.append(Found(one.confidence, None))
            elif counted[matched]:
                matches.append(Found(one.confidence, float(size[matched])))
        sizes += size[counted].tolist()
    return Matched(tuple(matches), tuple(sizes))


def false_positives(detect: Detector, pictures: Sequence[Image], keep: NDArray[np.bool_]) -> float:
    """Detections above ``SURE`` per picture where there is nothing to detect.

    Args:
        detect: the detector.
        pictures: uint8 RGB (H, W, 3), empty of what is detected inside ``keep``.
        keep: bool (H, W); detections that lie outside with more than half their area do not count.
    """
    count = sum(
        one.confidence > SURE and not mostly_in(~keep, one.box)
        for picture in pictures
        for one in detect(picture[np.newaxis])[0]
    )
    return count / len(pictures)


def match(found: Sequence[tuple[float, float, float, float]], boxes: Boxes) -> list[int | None]:
    """For each found box, in order, the index of the free box it overlaps most, if by at least one half."""
    free = np.ones(len(boxes), bool)
    result: list[int | None] = []
    for box in found:
        overlaps = np.where(free, _overlaps(np.array(box), boxes), 0.0)
        best = int(overlaps.argmax()) if len(boxes) else -1
        if best >= 0 and overlaps[best] >= 0.5:
            free[best] = False
            result.append(best)
        else:
            result.append(None)
    return result


def average_precision(matches: Sequence[tuple[float, bool]], total: int) -> float:
    """Area under the precision-recall curve made monotone, of (confidence, right) pairs and ``total`` boxes."""
    if not matches or not total:
        return 0.0
    right = np.array([good for _, good in sorted(matches, key=lambda pair: -pair[0])])
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / total)


def _overlaps(box: NDArray[np.float64], boxes: Boxes) -> NDArray[np.float64]:
    sides = np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None)
    both = sides.prod(1)
    return np.asarray(both / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - both))


def mostly_in(zone: NDArray[np.bool_], box: tuple[float, float, float, float]) -> bool:
    """Whether more than half of the box (x1, y1, x2, y2 in pixels) lies in ``zone``, bool (H, W)."""
    x1, y1, x2, y2 = (round(edge) for edge in box)
    covered = zone[y1:y2, x1:x2]
    return bool(covered.size and covered.mean() > 0.5)


def _share(right: NDArray[np.bool_]) -> float:
    return float(right.mean()) if right.size else float("nan")
