"""The median of a scene over hours: of a few pictures that lie far apart in time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Pictures the median is taken over, at the most. What stands in the scene for less than half of them does not show.
KEPT = 9
# Seconds between two pictures at the most. The median then covers 16 hours of its time of day: two nights or more.
LONGEST = 7200.0
# The median is made over this many calls, so that no frame waits for all of it: 3 ms each at 1080p.
STRIPS = 64


class LastingMedian:
    """The median of at most ``KEPT`` pictures, spread evenly over all the time since the first one.

    Whenever there is one too many, every other is left out and the time between two doubles, up to ``LONGEST``; from
    then on the oldest goes. So the median covers minutes at first, and in the end the last 18 hours: two nights. Of
    an even number the lower one of the middle two is taken, so that no two pictures are ever blended.

    Pictures are kept as they are given, not copied: they must not be changed. Memory: ``KEPT`` + 2 pictures. A seed
    is kept once.

    Args:
        first: seconds between the first pictures.
    """

    def __init__(self, *, first: float) -> None:
        self._first = first
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._entries: list[NDArray[np.uint8]] = []
        self._picture: NDArray[np.uint8] | None = None
        self._spacing = self._first
        self._added_at: float | None = None

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The median (H, W, 3) uint8, read-only; None before the first picture."""
        return self._picture

    @property
    def count(self) -> int:
        """Pictures it is taken over, those it was seeded with included."""
        return len(self._entries)

    @property
    def spacing(self) -> float:
        """Seconds between two pictures."""
        return self._spacing

    @property
    def arrays(self) -> list[NDArray[np.uint8]]:
        """The pictures held, the median last."""
        return [*self._entries, *([] if self._picture is None else [self._picture])]

    def seed(self, picture: NDArray[np.uint8], *, count: int, spacing: float) -> None:
        """Begin with the median ``picture`` of ``count`` pictures that lay ``spacing`` seconds apart.

        It stands for each of them until new ones take their places.
        """
        self.clear()
        self._entries = [picture] * min(max(count, 1), KEPT)
        self._picture = picture
        self._spacing = min(max(spacing, self._first), max(LONGEST, self._first))

    def due(self, seconds: float) -> bool:
        """Whether the next picture is due at ``seconds`` on the camera's clock, which may begin anew."""
        return self._added_at is None or not 0 <= seconds - self._added_at < self._spacing

    def add(self, picture: NDArray[np.uint8], seconds: float) -> Iterator[None]:
        """Take in a picture (H, W, 3), a strip of rows at a step; if it is left off midway, nothing has changed."""
        entries, spacing = [*self._entries, picture], self._spacing
        if len(entries) > KEPT:
            if 2 * spacing <= LONGEST:
                entries, spacing = entries[1::2], 2 * spacing
            else:
                del entries[0]
        median = np.empty_like(picture)
        height = len(picture)
        step = -(-height // STRIPS)
        for top in range(0, height, step):
            rows = slice(top, top + step)
            median[rows] = _lower_median([entry[rows] for entry in entries])
            yield
        median.flags.writeable = False
        self._entries, self._spacing, self._picture, self._added_at = entries, spacing, median, seconds


def _lower_median(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The lower median along time of uint8 arrays of one shape.

    Only the lower half is sorted, by insertion: minima and maxima of bytes are far faster than ``numpy.partition``.
    """
    wanted = (len(pictures) - 1) // 2 + 1
    lowest: list[NDArray[np.uint8]] = []
    for picture in pictures:
        rest = picture.copy()
        for layer in lowest:
            higher = np.maximum(layer, rest)
            np.minimum(layer, rest, out=layer)
            rest = higher
        if len(lowest) < wanted:
            lowest.append(rest)
    return lowest[-1]
