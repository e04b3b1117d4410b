"""Whether what is called unclear is where the picture is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.train.scores.trust import cells, spearman, unclear_correlation


def test_ranks_by_counting(rng: np.random.Generator) -> None:
    """Against the ranks counted one by one; many values are equal."""
    a, b = rng.integers(0, 6, 60).astype(float), rng.normal(size=60)

    def ranks(values: NDArray[np.float64]) -> list[float]:
        return [sum(v < own for v in values) + (sum(v == own for v in values) + 1) / 2 for own in values]

    expected = np.corrcoef(ranks(a), ranks(b))[0, 1]
    assert spearman(a, b) == pytest.approx(expected)
    assert spearman(b, np.exp(b)) == pytest.approx(1)
    assert np.isnan(spearman(np.zeros(9), b[:9]))


def test_cells_are_means(rng: np.random.Generator) -> None:
    plane = rng.normal(size=(19, 26))
    made = cells(plane)
    assert made.shape == (2, 3)
    assert made[1, 2] == pytest.approx(plane[8:16, 16:24].mean())


def test_unclear_where_it_is_wrong(rng: np.random.Generator) -> None:
    truth = rng.integers(60, 190, (64, 64, 3), dtype=np.uint8)
    amount = rng.integers(0, 50, (8, 8)).repeat(8, 0).repeat(8, 1)
    output = np.clip(truth.astype(int) + amount[..., None], 0, 255).astype(np.uint8)
    keep = np.ones((64, 64), bool)
    said = (amount * 3).astype(np.uint8)
    assert unclear_correlation([said], [output], [truth], keep) == pytest.approx(1)
    assert unclear_correlation([255 - said], [output], [truth], keep) == pytest.approx(-1)
    # Where it does not count it may say what it likes.
    keep[:32] = False
    said[:32] = rng.integers(0, 255, (32, 64))
    assert unclear_correlation([said], [output], [truth], keep) == pytest.approx(1)
