"""Counts that are told when they have settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median_high

# Seconds of which the median counts, and most pictures in them.
WINDOW, PICTURES = 1.0, 100


class SettledCounts:
    """Tells of a change of counts once their median has changed: what is missed on a picture makes no news.

    The first counts are told at once, also that there is nothing: who listens may know others, of an earlier run.
    Time is the camera's, and rises.
    """

    def __init__(self) -> None:
        self._lately: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=PICTURES)
        self._told: dict[str, int] | None = None

    def update(self, counts: Mapping[str, int], *, now: float) -> Mapping[str, int] | None:
        """The counts, if they are news at ``now`` in seconds; else None. Classes that count 0 are left out."""
        self._lately.append((now, counts))
        while now - self._lately[0][0] >= WINDOW:
            self._lately.popleft()
        labels = {label: None for _, seen in self._lately for label in seen}
        medians = {label: median_high(seen.get(label, 0) for _, seen in self._lately) for label in labels}
        counted = {label: count for label, count in medians.items() if count}
        if counted == self._told:
            return None
        self._told = counted
        return counted
