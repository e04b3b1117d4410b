"""Whether what a model calls unclear is where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..footage.scene import Image
from .image_distances import Mask

# Pixels of a cell's side.
CELL = 8


def unclear_correlation(
    unclear: Sequence[NDArray[np.uint8]], outputs: Sequence[Image], truth: Sequence[Image], keep: Mask
) -> float:
    """Spearman's rank correlation, over cells of all pictures together, of "unclear" with the true error.

    Args:
        unclear: uint8 (H, W) each, shares of 255.
        outputs, truth: uint8 RGB (H, W, 3) each.
        keep: bool (H, W); cells with at least half their pixels in it count.

    Returns:
        -1 to 1; NaN where all cells are alike.
    """
    counted = cells(keep.astype(np.float64)) >= 0.5
    said, error = [], []
    for share, output, day in zip(unclear, outputs, truth, strict=True):
        said.append(cells(share.astype(np.float64))[counted])
        error.append(cells(np.abs(output.astype(np.float64) - day).mean(axis=2))[counted])
    return spearman(np.concatenate(said), np.concatenate(error))


def cells(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over cells of ``CELL``²: (H, W) → (H // CELL, W // CELL)."""
    height, width = (side // CELL for side in plane.shape)
    whole = plane[: height * CELL, : width * CELL]
    return np.asarray(whole.reshape(height, CELL, width, CELL).mean(axis=(1, 3)))


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation of the ranks; equal values have the mean of their ranks. NaN where one is constant."""
    x, y = (_ranks(values) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    both = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / both if both > 0 else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((count.cumsum() - (count - 1) / 2)[place.ravel()], np.float64)
