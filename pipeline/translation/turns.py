"""Whose turn it is where a machine cannot translate every frame: fair to cameras with dear frames and cheap ones."""

from __future__ import annotations

import math
from collections import deque

# By how much frames that are cheaper than others may come more often: the time that all of it costs, as a share of
# the time that one frame of each camera takes.
EXTRA = 0.25
# Turns that a camera may have while a frame of another waits for its next one: so many of the mean length, but not
# more than this number.
AHEAD, MOST_AHEAD = 2, 16
# Weight of the newest measurement.
SMOOTHING = 0.2


class Turns:
    """Start-time fair queueing (Goyal, Vin and Cheng, 1996), where a cheap frame is a short turn.

    If each camera had as many frames as any other, a still scene, whose frames cost next to nothing, would be as slow
    as the busiest. If each had as much time as any other, a busy night would be slow beside many days. So where a
    frame of camera i takes c_i seconds, and one of them all takes c in the mean, camera i gets 1 + EXTRA · c / c_i
    frames for each that it would have if all had equally many but for what these take: the dearest never loses more
    than 1 - 1 / (1 + EXTRA) of its frames, a fifth, by that. Cameras that cost the same have the same.

    Times are virtual: 1 is a turn of a camera whose frames cost what they cost in the mean. Not safe from several
    threads at once.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._ends: dict[str, float] = {}
        self._count = 0
        self._numbers: dict[str, deque[int]] = {}  # of the last few turns of each camera
        self._costs: dict[str, float] = {}
        self._total = 0.0  # of the costs

    def begins(self, camera: str) -> float:
        """When the next turn of ``camera`` begins; never before that of a turn that was taken."""
        return max(self._ends.get(camera, 0.0), self._now)

    def last(self, camera: str) -> int:
        """The number of its last turn; 0 where it has had none."""
        return self._numbers[camera][-1] if camera in self._numbers else 0

    def had_all(self, camera: str, *, since: float) -> bool:
        """Whether ``camera`` has had all the turns that it may have after the one of number ``since``."""
        allowed = min(MOST_AHEAD, round(AHEAD / self._length(camera)))
        numbers = self._numbers.get(camera, ())
        return len(numbers) >= allowed and numbers[-allowed] > since

    def take(self, camera: str) -> None:
        """``camera`` has its turn."""
        self._now = self.begins(camera)
        self._ends[camera] = self._now + self._length(camera)
        self._count += 1
        self._numbers.setdefault(camera, deque(maxlen=MOST_AHEAD)).append(self._count)

    def took(self, camera: str, seconds: float) -> None:
        """A frame of ``camera`` took so long."""
        before = self._costs.get(camera, seconds)
        self._costs[camera] = before + SMOOTHING * (seconds - before)
        self._total = math.fsum(self._costs.values())

    def forget(self, camera: str) -> None:
        """``camera`` is no more."""
        for known in (self._ends, self._costs, self._numbers):
            known.pop(camera, None)
        self._total = math.fsum(self._costs.values())

    def _length(self, camera: str) -> float:
        cost = self._costs.get(camera)
        if not cost:
            return 1.0
        mean = self._total / len(self._costs)
        return (1 + EXTRA) / (1 + EXTRA * mean / cost)
