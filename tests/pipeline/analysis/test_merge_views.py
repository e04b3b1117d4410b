"""What two views tell together: all of the night, and what the day adds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nightday.engines.detection.detections import Detection
from nightday.pipeline.analysis.merge_views import SAME, merge_views


def some(rng: np.random.Generator, count: int, spread: float) -> list[Detection]:
    """Random detections; the less they are spread, the more they overlap."""
    found = []
    for _ in range(count):
        x, y = rng.uniform(0, 1 + 600 * spread, 2)
        width, height = rng.uniform(20, 80, 2)
        label = str(rng.choice(["car", "person"]))
        found.append(Detection(label, float(rng.uniform(0.01, 1)), (x, y, x + width, y + height)))
    return found


def overlap(a: Detection, b: Detection) -> float:
    """Intersection over union by counting, in float, of two boxes."""
    wide = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    high = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    areas = [(one.box[2] - one.box[0]) * (one.box[3] - one.box[1]) for one in (a, b)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("spread", [0, 0.05, 0.3, 1])
def test_nothing_seen_on_the_night_is_left_out_moved_or_made_less_sure(
    rng: np.random.Generator, spread: float
) -> None:
    for _ in range(60):
        day, night = some(rng, int(rng.integers(0, 14)), spread), some(rng, int(rng.integers(0, 14)), spread)
        merged = merge_views(day, night)
        from_night = [one for one in merged if one.view != "day"]
        assert Counter((one.label, one.box) for one in from_night) == Counter(
            (one.label, one.box) for one in night
        )
        for one in night:
            (kept,) = [other for other in from_night if other.box == one.box]
            assert kept.confidence >= one.confidence
        assert [one.confidence for one in merged] == sorted((one.confidence for one in merged), reverse=True)


@pytest.mark.parametrize("spread", [0, 0.05, 0.3])
def test_what_is_missing_of_the_day_is_on_the_night(rng: np.random.Generator, spread: float) -> None:
    """Of the day view only that is left out which stands for an object of the night: same class, same place."""
    for _ in range(60):
        day, night = some(rng, 12, spread), some(rng, 12, spread)
        merged = merge_views(day, night)
        kept = {one.box for one in merged if one.view == "day"}
        both = [one for one in merged if one.view == "both"]
        gone = [one for one in day if one.box not in kept]
        assert len(gone) == len(both)
        for one in both:
            assert any(
                other.label == one.label
                and overlap(other, one) >= SAME
                and one.confidence >= other.confidence
                for other in gone
            )
        for one in (one for one in merged if one.view == "day"):  # what is left has no partner that is free
            free = (other for other in merged if other.view == "night" and other.label == one.label)
            assert all(overlap(one, other) < SAME for other in free)


def test_one_object_on_both_views_is_one() -> None:
    day = [Detection("car", 0.9, (10, 10, 110, 60)), Detection("person", 0.4, (200, 10, 220, 60))]
    night = [Detection("car", 0.3, (12, 11, 108, 62)), Detection("truck", 0.5, (11, 10, 110, 60))]
    car, truck, person = merge_views(day, night)
    assert (car.view, car.confidence, car.box) == ("both", 0.9, night[0].box)
    assert (truck.view, person.view) == ("night", "day")


def test_one_view_alone() -> None:
    found = [Detection("car", 0.9, (10, 10, 110, 60))]
    assert [one.view for one in merge_views(found, [])] == ["day"]
    assert [one.view for one in merge_views([], found)] == ["night"]
    assert merge_views([], []) == []
