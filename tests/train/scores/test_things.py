"""The things in a camera's nights, by the evidence and by labels, and whether they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from nightday.train.footage.scene import Image
from nightday.train.scores.scorer import IDENTICAL
from nightday.train.scores.things import LARGE, boxes_of, nights_shown

SHAPE = (120, 160)
CAR, WALKER = np.s_[60:80, 30:60], np.s_[70:86, 100:107]


@pytest.fixture
def street(rng: np.random.Generator) -> tuple[Image, Image, Image, Image]:
    """x_ref, n_ref, a night with a bright car and a walker who is darker than the dark road, and the true day."""
    x_ref = np.repeat(rng.integers(110, 130, (*SHAPE, 1), dtype=np.uint8), 3, axis=2)
    n_ref = (x_ref // 3).astype(np.uint8)
    noise = rng.normal(0, 1.5, (*SHAPE, 1))
    night = n_ref.astype(float)
    pattern = rng.integers(0, 2, (5, 6)).repeat(4, 0)[:20].repeat(5, 1)
    night[CAR] = 90 + 60 * pattern[..., None]
    night[WALKER] = 12
    day = x_ref.copy()
    day[CAR] = 40 + 180 * pattern[..., None]
    day[WALKER] = 50
    return x_ref, n_ref, np.rint((night + noise).clip(0, 255)).astype(np.uint8), day


def test_a_walker_in_the_dark_counts_like_a_car(street: tuple[Image, Image, Image, Image]) -> None:
    x_ref, n_ref, night, day = street
    found = nights_shown([night, n_ref], [day, x_ref], x_ref=x_ref, n_ref=n_ref)
    assert not found.labelled
    assert [(t.picture, t.shown) for t in found.things] == [(0, True), (0, True)]
    assert [found.share, found.hidden, found.off] == [1, [], 0]
    assert found.output == (IDENTICAL, IDENTICAL)
    without = day.copy()
    without[WALKER] = x_ref[WALKER]
    (hidden,) = (t for t in nights_shown([night], [without], x_ref=x_ref, n_ref=n_ref).things if not t.shown)
    left, top, right, bottom = hidden.box
    assert abs(left - 100) <= 2 >= abs(top - 70)
    assert abs(right - 107) <= 2 >= abs(bottom - 86)


def test_a_hidden_car_is_told_first(street: tuple[Image, Image, Image, Image]) -> None:
    x_ref, n_ref, night, _ = street
    found = nights_shown([n_ref, night], [x_ref, x_ref], x_ref=x_ref, n_ref=n_ref)
    assert found.share == 0
    assert found.hidden[0].picture == 1
    assert found.hidden[0].share == pytest.approx(20 * 30 / (120 * 160), rel=0.3)
    assert found.hidden[0].share > LARGE


def test_labels_go_before_evidence(street: tuple[Image, Image, Image, Image]) -> None:
    x_ref, n_ref, night, day = street
    boxes = np.array([[30.0, 60.0, 60.0, 80.0], [5.0, 5.0, 8.0, 8.0]])
    found = nights_shown([night], [day], x_ref=x_ref, n_ref=n_ref, boxes=[boxes])
    assert found.labelled
    assert [thing.box for thing in found.things] == [(30, 60, 60, 80)]
    assert found.share == 1


def test_each_picture_has_its_own_background(street: tuple[Image, Image, Image, Image]) -> None:
    x_ref, n_ref, _, _ = street
    worse = (x_ref + 10).astype(np.uint8)
    found = nights_shown([n_ref, n_ref], [x_ref, worse], x_ref=x_ref, n_ref=n_ref)
    assert list(found.output) == pytest.approx([IDENTICAL, 10 * np.log10(255**2 / 100)])
    assert found.night[0] == pytest.approx(
        10 * np.log10(255**2 / ((n_ref.astype(float) - x_ref) ** 2).mean())
    )
    assert np.isnan(found.share)


def test_boxes_around_regions() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:5, 3:9] = mask[10:12, 20:30] = True
    assert sorted(boxes_of(mask).tolist()) == [[3, 2, 9, 5], [20, 10, 30, 12]]
    assert boxes_of(np.zeros((5, 5), bool)).shape == (0, 4)
