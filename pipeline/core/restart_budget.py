"""How often something that died may be started again."""

from __future__ import annotations

from collections import deque


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
