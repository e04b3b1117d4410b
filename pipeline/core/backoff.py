"""How long to wait before trying again, and how often what died may be started again."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: a random time from 0 to min(cap, first · 2ⁿ), but at least ``floor``.

    By default the upper limits are 1, 2, 4, 8, 16 and then always 30 s. The jitter spreads the tries of cameras that
    went down together. The floor prevents a busy loop when several short times are drawn one after the other.

    Attributes:
        first: upper limit of the first waiting time, in seconds.
        cap: upper limit of every waiting time, in seconds.
        floor: shortest waiting time, in seconds.
    """

    first: float = 1.0
    cap: float = 30.0
    floor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.cap or self.first <= 0:
            raise ValueError(f"a back-off needs 0 <= floor <= cap and first > 0, not {self}")

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait before try number ``attempt`` + 1 after ``attempt`` (0, 1, …) failed retries."""
        ceiling = min(self.cap, self.first * 2.0 ** min(attempt, 32))
        return max(self.floor, rng.uniform(0.0, ceiling))


class RestartBudget:
    """Grants at most ``most`` restarts within any ``within`` seconds. A fault that comes back at once will stay."""

    def __init__(self, *, most: int = 5, within: float = 60.0) -> None:
        self._most = most
        self._within = within
        self._at: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Whether one more restart is granted ``now`` (monotonic seconds); it is then used up."""
        while self._at and now - self._at[0] >= self._within:
            self._at.popleft()
        if len(self._at) >= self._most:
            return False
        self._at.append(now)
        return True
