"""How long to wait before trying again."""

from __future__ import annotations

import random
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
