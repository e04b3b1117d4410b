"""The mean of pictures, which needs no fixed camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mean_of(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The per-pixel mean of one picture or more, uint8 RGB (H, W, 3): what they have in common."""
    total = np.zeros(frames[0].shape, np.uint64)
    for frame in frames:
        total += frame
    return np.rint(total / len(frames)).astype(np.uint8)
