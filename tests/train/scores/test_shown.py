"""What is shown, and how clean the rest is."""

from __future__ import annotations

import numpy as np
import pytest

from nightday.train.footage.scene import Image
from nightday.train.scores.detection_scores import Boxes
from nightday.train.scores.scorer import IDENTICAL, decibel
from nightday.train.scores.shown import outside_boxes, shown, shown_boxes

SHAPE = (120, 160)
BOXES: Boxes = np.array([[20.0, 30.0, 50.0, 50.0], [90.0, 70.0, 120.0, 90.0]])
EVERYWHERE = np.ones(SHAPE, bool)


def scene(rng: np.random.Generator) -> tuple[Image, Image, Image, Image]:
    """x_ref, n_ref, a night with two cars, and the day that it should become."""
    x_ref = rng.integers(100, 140, (*SHAPE, 3), dtype=np.uint8)
    n_ref = (x_ref // 4).astype(np.uint8)
    night, day = n_ref.copy(), x_ref.copy()
    for x1, y1, x2, y2 in BOXES.astype(int):
        car = rng.integers(0, 2, ((y2 - y1) // 4 + 1, (x2 - x1) // 4 + 1)).repeat(4, 0).repeat(4, 1)
        car = car[: y2 - y1, : x2 - x1, None]
        night[y1:y2, x1:x2] = 60 + 60 * car
        day[y1:y2, x1:x2] = 30 + 200 * car
    return x_ref, n_ref, night, day


def test_a_pasted_background_shows_nothing_and_is_clean(rng: np.random.Generator) -> None:
    x_ref, n_ref, night, day = scene(rng)
    paste = shown([night], [x_ref], [BOXES], x_ref=x_ref, n_ref=n_ref, keep=EVERYWHERE)
    assert (paste.boxes, paste.shown, paste.background, paste.off) == (2, 0, IDENTICAL, 0)
    good = shown([night], [day], [BOXES], x_ref=x_ref, n_ref=n_ref, keep=EVERYWHERE)
    assert (good.shown, good.background, good.off) == (1, IDENTICAL, 0)
    assert 0.8 < good.counted < 0.95
    itself = shown([night], [night], [BOXES], x_ref=x_ref, n_ref=n_ref, keep=EVERYWHERE)
    assert itself.shown == 1
    assert itself.background < 10
    assert itself.off > 0.99


def test_one_of_two_cars(rng: np.random.Generator) -> None:
    x_ref, _, night, day = scene(rng)
    half = day.copy()
    half[60:] = x_ref[60:]
    assert shown_boxes(night, half, x_ref, BOXES).tolist() == [True, False]


def test_a_blob_of_another_pattern_is_not_the_car(rng: np.random.Generator) -> None:
    x_ref, _, night, _ = scene(rng)
    blob = x_ref.copy()
    blob[30:50, 20:50] = 255 - night[30:50, 20:50]
    assert shown_boxes(night, blob, x_ref, BOXES).tolist() == [False, False]
    # The pattern is there, but hardly to be seen.
    faint = np.clip(x_ref.astype(int) + night // 8, 0, 255).astype(np.uint8)
    assert shown_boxes(night, faint, x_ref, BOXES).tolist() == [False, False]


def test_small_boxes_and_those_outside_do_not_count(rng: np.random.Generator) -> None:
    x_ref, _, night, day = scene(rng)
    few: Boxes = np.array([[5.0, 5.0, 12.0, 12.0], [400.0, 5.0, 500.0, 50.0], *BOXES])
    assert shown_boxes(night, day, x_ref, few).tolist() == [True, True]


def test_the_background_is_what_lies_outside(rng: np.random.Generator) -> None:
    """By a naive loop over the pixels; a label does not count, nor a thing without a box."""
    x_ref, n_ref, night, day = scene(rng)
    output = np.clip(day.astype(int) + rng.integers(-30, 31, day.shape), 0, 255).astype(np.uint8)
    keep = EVERYWHERE.copy()
    keep[:10] = False
    found = shown([night], [output], [BOXES[:1]], x_ref=x_ref, n_ref=n_ref, keep=keep)
    near = [[box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3] for box in BOXES]
    outside, still, off = [], [], 0
    for y, x in np.ndindex(SHAPE):
        if y < 10:
            continue
        inside = [left <= x < right and top <= y < bottom for left, top, right, bottom in near]
        apart = output[y, x].astype(float) - x_ref[y, x]
        if not inside[0]:
            outside.append(float((apart**2).mean()))
        if not any(inside):
            still.append(float((apart**2).mean()))
            off += bool(np.abs(apart).max() > 20)
    assert found.outside == pytest.approx(10 * np.log10(255**2 / np.mean(outside)), abs=1e-6)
    # The outline by evidence is not the box to the pixel.
    assert found.background == pytest.approx(10 * np.log10(255**2 / np.mean(still)), abs=0.5)
    assert found.off == pytest.approx(off / len(still), abs=0.02)
    assert found.outside < found.background - 2


def test_the_same_picture_has_no_endless_psnr() -> None:
    assert decibel(0.0) == decibel(1e-20) == IDENTICAL
    assert decibel(100.0) == pytest.approx(10 * np.log10(255**2 / 100))


def test_no_boxes_are_everything() -> None:
    assert outside_boxes(np.zeros((0, 4)), SHAPE).all()
    assert np.isnan(
        shown([], [], [], x_ref=np.zeros((*SHAPE, 3), np.uint8), n_ref=np.zeros((*SHAPE, 3), np.uint8),
              keep=EVERYWHERE).shown
    )  # fmt: skip
