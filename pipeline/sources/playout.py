"""When a live camera's packets are due: evenly, by the camera's own clock, however unevenly they arrive."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# Seconds that a packet may be held back, from its arrival.
HOLD_MOST = 2.5
# Seconds over which the least time that a packet is held back tells what could be spared. Longer than ``HOLD_MOST``,
# so that there is the beginning of a burst among them.
SPARE_WINDOW = 3.0
# The fastest play that takes back what could be spared.
CATCH_UP = 2.0
# Packets from which the average time between packets is taken, and the share of it that is one step.
RATE_PACKETS, EVEN_SHARE = 100, 0.8


@dataclass(frozen=True, slots=True)
class _Waiting:
    """When a packet arrived (monotonic seconds), and how long after the one before it is due (seconds)."""

    at: float
    step: float


class Playout:
    """A jitter buffer's timing. The packets themselves wait elsewhere, in the same order.

    A packet is due one step of the camera's clock after the one before, and not before it arrives. So a camera that
    sends evenly is not delayed, and a burst is played out evenly until the next one comes. Play is faster

    - so that nothing is held back for more than ``HOLD_MOST`` seconds, and
    - while every packet of the last ``SPARE_WINDOW`` seconds was held back, as after a start with what the server had
      stored: what all of them had to wait is taken back within seconds.

    A step that cannot be (backwards, or longer than ``HOLD_MOST``) counts as none. Where the camera's clock is not
    believed, a step is a little less than packets have lately come apart on average.
    """

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._came: deque[float] = deque(maxlen=RATE_PACKETS)
        self._seconds = 0.0  # the sum of their steps
        self._stamp: float | None = None
        self._played_at = float("-inf")
        self._began: float | None = None
        self._held: deque[tuple[float, float]] = deque()  # when a packet came, and how long it is to be held

    def arrived(self, stamp: float | None, at: float, *, believed: bool = True) -> None:
        """Note a packet with ``stamp`` (seconds on the camera's clock) that arrived ``at`` (monotonic seconds)."""
        self._came.append(at)
        if believed:
            step = 0.0 if stamp is None or self._stamp is None else stamp - self._stamp
        else:
            step = EVEN_SHARE * (at - self._came[0]) / max(1, len(self._came) - 1)
        self._stamp = self._stamp if stamp is None else stamp
        step = step if 0.0 < step <= HOLD_MOST else 0.0
        self._waiting.append(_Waiting(at, step))
        self._seconds += step
        self._began = at if self._began is None else self._began
        held = max(0.0, self._played_at + self._seconds - at)
        while self._held and self._held[-1][1] >= held:  # it can be the least no more
            self._held.pop()
        self._held.append((at, held))
        while self._held[0][0] < at - SPARE_WINDOW:
            self._held.popleft()

    def due(self, now: float) -> float:
        """When the oldest waiting packet is due (monotonic seconds). IndexError if none waits."""
        oldest = self._waiting[0]
        speed = 1.0
        if self._began is not None and now - self._began >= SPARE_WINDOW:
            speed = min(CATCH_UP, 1.0 + self._held[0][1])
        seconds = 0.0
        for packet in self._waiting:
            seconds += packet.step
            left = packet.at + HOLD_MOST - now
            if left <= 0:
                return oldest.at
            speed = max(speed, seconds / left)
        return max(oldest.at, self._played_at + oldest.step / speed)

    def play(self, due: float) -> None:
        """Note that the oldest waiting packet, which was ``due``, is played."""
        self._seconds = max(0.0, self._seconds - self._waiting.popleft().step)
        self._played_at = due
