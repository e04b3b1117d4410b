"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Capped exponential back-off with full jitter: uniform in 0…min(cap, first · 2ⁿ), but never below ``floor``.

    By default the tiers are 1, 2, 4, 8, 16 and 30 s: the last is kept for as long as the source stays away.

    Full jitter spreads the tries of cameras that went down together; the floor keeps one lucky draw after
    another from becoming a busy loop. All in seconds.
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
