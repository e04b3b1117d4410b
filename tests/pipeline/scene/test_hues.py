"""What lamps do to a picture's hues, against pictures of which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.pipeline.scene.hues import Hues, hues

SHAPE = (24, 42)
Cells = NDArray[np.float32]


def of(luma: Cells, cb: NDArray[np.floating] | float, cr: NDArray[np.floating] | float) -> Hues:
    """Hues of cells whose chroma is told as what it is above 128."""
    blue, red = (np.asarray(np.broadcast_to(part, SHAPE) + 128, np.float32) for part in (cb, cr))
    return hues(luma, blue, red, np.ones(SHAPE, bool))


def scene(rng: np.random.Generator) -> Cells:
    return np.asarray(rng.uniform(30, 210, SHAPE), np.float32)


def test_one_light_on_a_grey_scene_has_a_cast_and_no_variety(rng: np.random.Generator) -> None:
    luma, (blue, red) = scene(rng), rng.uniform(-0.2, 0.2, 2)
    found = of(luma, blue * luma, red * luma)
    assert found.variety == pytest.approx(0, abs=1e-3)
    assert found.cast == pytest.approx(128 * np.hypot(blue, red), rel=1e-3)
    assert found.lamps == pytest.approx(0, abs=0.1)


def test_things_of_many_hues_have_variety_and_no_cast(rng: np.random.Generator) -> None:
    for level in (4, 8):
        found = of(scene(rng), rng.normal(0, level, SHAPE), rng.normal(0, level, SHAPE))
        assert level < found.variety < 3 * level
        assert abs(found.cast) < 1
        assert found.lamps < level


def test_a_tint_that_changes_smoothly_has_no_variety(rng: np.random.Generator) -> None:
    luma = scene(rng)
    across = np.linspace(-0.06, 0.06, SHAPE[1], dtype=np.float32)
    found = of(luma, across * luma, -across * luma)
    assert found.variety < 0.3
    assert found.lamps > 5


def test_lamps_tell_one_side_of_the_rows_from_the_other_and_not_the_top_from_the_ground(
    rng: np.random.Generator,
) -> None:
    luma, warm = scene(rng), float(rng.uniform(0.08, 0.2))
    sides = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, warm, -warm).astype(np.float32)
    rows = np.where(np.arange(SHAPE[0]) < SHAPE[0] // 3, warm, -warm).astype(np.float32)[:, None]
    apart = 2 * warm * 128 * 2**0.5
    # Both sides' light lies between the two where they meet.
    assert of(luma, -sides * luma, sides * luma).lamps == pytest.approx(apart, rel=0.15)
    assert of(luma, -rows * luma, rows * luma).lamps < 0.05 * apart


def test_a_picture_of_one_luma_and_one_of_a_single_cell_have_hues_too() -> None:
    flat = np.full(SHAPE, 90, np.float32)
    assert of(flat, 0, 0) == Hues(0, 0, 0)
    one = np.full((1, 1), 90, np.float32)
    assert hues(one, one, one, np.ones((1, 1), bool)).lamps == 0
