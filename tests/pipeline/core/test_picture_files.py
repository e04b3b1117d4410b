"""Pictures in PNG files look as the camera's do in a player."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from nightday.pipeline.core.picture_files import with_square_pixels


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [(Fraction(1), (48, 66)), (Fraction(16, 11), (48, 96)), (Fraction(11, 16), (70, 66))],
)
def test_pixels_become_square_and_none_is_lost(aspect: Fraction, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rgb = np.repeat(rng.integers(0, 256, (48, 6, 3), dtype=np.uint8), 11, axis=1)
    square = with_square_pixels(rgb, aspect)
    assert square.shape == (*shape, 3)
    assert abs(float(square.mean()) - float(rgb.mean())) < 2
