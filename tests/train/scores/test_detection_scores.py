"""Scores of detections against boxes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.train.footage.scene import SceneError
from nightday.train.scores.detection_scores import (
    FAR,
    SURE,
    average_precision,
    false_positives,
    far_zone,
    match,
    read_boxes,
    score_detections,
)


@dataclass(frozen=True)
class One:
    confidence: float
    box: tuple[float, float, float, float]


class Told:
    """A detector that finds on each picture what its first pixel numbers."""

    def __init__(self, found: list[list[One]]) -> None:
        self.found = found

    def __call__(self, rgb: NDArray[np.uint8]) -> list[list[One]]:
        return [self.found[picture[0, 0, 0]] for picture in rgb]


def pictures(count: int) -> list[NDArray[np.uint8]]:
    return [np.full((100, 120, 3), number, np.uint8) for number in range(count)]


def test_recall_is_told_by_size_and_slivers_do_not_count() -> None:
    boxes = [
        np.array([[0, 60, 10, 70], [20, 60, 40, 80], [60, 50, 110, 100], [112, 60, 116, 80.0]]),
        np.array([[0, 60, 10, 70], [20, 60, 40, 80.0]]),
    ]
    found = [
        [One(0.9, (60, 50, 110, 98)), One(0.8, (20, 60, 40, 79)), One(0.5, (112, 60, 116, 80))],
        [One(0.7, (0, 60, 10, 69)), One(SURE / 2, (20, 60, 40, 80)), One(0.6, (70, 80, 90, 95))],
    ]
    score = score_detections(Told(found), pictures(2), boxes)
    assert (score.pictures, score.boxes) == (2, 5)
    assert score.recall == pytest.approx(3 / 5)
    assert (score.recall_small, score.recall_medium, score.recall_large) == (0.5, 0.5, 1.0)
    assert score.precision == pytest.approx(3 / 4)
    # In the order of confidence: right, right, right, wrong, right; five boxes.
    assert score.ap50 == pytest.approx((1 + 1 + 1 + 4 / 5) / 5)
    strict = score_detections(Told(found), pictures(2), boxes, lenient=False)
    assert strict.boxes == 6
    assert strict.recall == pytest.approx(4 / 6)


def test_a_perfect_detector_scores_one_and_a_blind_one_nothing() -> None:
    boxes = [np.array([[10, 50, 40, 80.0]]), np.array([[50, 50, 80, 90.0]])]
    right = Told([[One(0.9, (10, 50, 40, 80))], [One(0.9, (50, 50, 80, 90))]])
    assert score_detections(right, pictures(2), boxes).ap50 == 1.0
    blind = score_detections(Told([[], []]), pictures(2), boxes)
    assert (blind.ap50, blind.recall) == (0.0, 0.0)
    assert np.isnan(blind.precision)


def test_what_nobody_annotated_in_the_distance_counts_neither_way() -> None:
    boxes = [np.array([[10, 60, 40, 80.0]])]
    far, near = One(0.9, (12, 40, 30, 58)), One(0.9, (70, 40, 90, 58))
    kept = [One(0.8, (10, 60, 40, 80))]
    assert score_detections(Told([[far, *kept]]), pictures(1), boxes).precision == 1.0
    assert score_detections(Told([[near, *kept]]), pictures(1), boxes).precision == 0.5


def test_false_positives_are_counted_where_there_is_nothing() -> None:
    keep = np.ones((100, 120), bool)
    keep[:, :60] = False
    found = [
        [One(0.9, (70, 10, 90, 30)), One(0.9, (10, 10, 30, 30)), One(SURE / 2, (70, 50, 90, 70))],
        [],
        [One(0.3, (50, 10, 90, 30))],
    ]
    assert false_positives(Told(found), pictures(3), keep) == pytest.approx(2 / 3)


def test_a_table_that_holds_no_boxes_is_refused_by_name(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text("frame,x1,y1,x2,y2\n3,1,2,3,4\n3,5,6,7,8\n")
    assert {frame: boxes.tolist() for frame, boxes in read_boxes(table).items()} == {
        3: [[1, 2, 3, 4], [5, 6, 7, 8]]
    }
    table.write_text("number,left\n3,1\n")
    for path in (table, tmp_path / "none.csv"):
        with pytest.raises(SceneError, match=rf"{path}.*frame, x1, y1, x2, y2"):
            read_boxes(path)


def test_far_zone_lies_above_the_topmost_box_of_each_column() -> None:
    boxes = {0: np.array([[10.0, 70.0, 20.0, 90.0]]), 3: np.array([[15.0, 60.0, 30.0, 80.0]])}
    zone = far_zone(boxes.values(), 100, 40)
    tops = [zone[:, column].nonzero()[0] for column in (5, 12, 17, 29, 35)]
    assert [(rows.min(), rows.max()) if len(rows) else None for rows in tops] == [
        None, (70 - FAR, 69), (60 - FAR, 59), (60 - FAR, 59), None,
    ]  # fmt: skip


def test_each_box_is_matched_once_by_the_surest() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    found = [(1.0, 0.0, 11.0, 10.0), (0.0, 0.0, 10.0, 10.0), (20.0, 4.0, 30.0, 14.0), (20.0, 0.0, 30.0, 9.0)]
    assert match(found, boxes) == [0, None, None, 1]
    assert match(found, np.zeros((0, 4))) == [None] * 4
    assert match([], boxes) == []


def test_average_precision_is_the_area_under_the_envelope() -> None:
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for _ in range(20):
        count = int(rng.integers(1, 40))
        verdicts = [
            (float(c), bool(r)) for c, r in zip(rng.random(count), rng.random(count) < 0.6, strict=True)
        ]
        total = sum(right for _, right in verdicts) + int(rng.integers(1, 5))
        ranked = sorted(verdicts, reverse=True)
        points = []  # (recall, precision) after each detection
        for n in range(1, count + 1):
            right = sum(good for _, good in ranked[:n])
            points.append((right / total, right / n))
        area = 0.0
        for k in range(1, total + 1):  # the best precision at each recall or beyond
            area += max((p for r, p in points if r >= k / total - 1e-9), default=0.0) / total
        assert average_precision(verdicts, total) == pytest.approx(area)
    assert average_precision([], 5) == 0.0
    assert average_precision([(0.9, True), (0.8, True)], 2) == 1.0
