"""How far the pictures that a background rests on agree: where they do not, it may hold ghosts and streaks.

A median shows what is there for more than half of the time. Where traffic covers the road for about half of it, the
samples fall apart into road and vehicles, and the median is a patchwork of both. So it is judged by the spread of its
samples: the distance between their quartiles, which are both of the scene where something passes now and then. Light
that changes is left out by dividing by the surroundings, and noise by comparing with the usual spread of all pixels.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

# Width of the views that are compared.
WIDTH = 96
# Samples below which nothing is told.
FEWEST = 4
# A pixel agrees if its spread is below so many times the median spread, or below so much contrast.
TIMES, LEAST = 4.0, 0.1
# Grey levels added to the surroundings that contrast is relative to, so that it is not that of noise in the dark.
DARK = 16.0


class Agreement:
    """The share of a picture in which the last ``views`` pictures agree. It takes 25 kB a view of 16:9."""

    def __init__(self, *, views: int) -> None:
        self._views: deque[NDArray[np.float32]] = deque(maxlen=views)
        self._share: float | None = None

    @property
    def share(self) -> float | None:
        """The share, 0 to 1; None before ``FEWEST`` pictures."""
        return self._share

    def clear(self) -> None:
        """Forget all pictures."""
        self._views.clear()
        self._share = None

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Take in a picture, (H, W, 3)."""
        self._views.append(_contrast(rgb))
        if len(self._views) >= FEWEST:
            spread = _spread(np.stack(self._views))
            self._share = float((spread <= max(TIMES * float(np.median(spread)), LEAST)).mean())


def _contrast(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = rgb.shape[:2]
    step = max(1, width // (4 * WIDTH))
    size = (min(WIDTH, width), max(1, round(min(WIDTH, width) * height / width)))
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), size, interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    around = cv2.GaussianBlur(luma, (0, 0), WIDTH / 12)
    return np.asarray((luma - around) / (around + DARK), np.float32)


def _spread(views: NDArray[np.float32]) -> NDArray[np.float32]:
    """The distance between the quartiles along time, (h, w)."""
    last = len(views) - 1
    low, high = last // 4, last - last // 4
    ordered = np.partition(views, (low, high), axis=0)
    return np.asarray(ordered[high] - ordered[low])
