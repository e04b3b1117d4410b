"""How long a batch waits for one more frame: only as long as that lowers the latency of all its frames together."""

from __future__ import annotations

from collections.abc import Collection

# Weight of the newest measurement.
SMOOTHING = 0.2
# Seconds that a frame may be later than foreseen. Cameras jitter by about as much.
SLACK = 0.002


class BatchDelay:
    """Learns when each camera's next frame comes and what a batch of each size costs.

    Let b frames wait, let one more come in δ seconds, and let T(b) be the time for a batch of b. Waiting for that
    frame makes each of the b later by δ + T(b + 1) - T(b), and the one more sooner by T(b) + T(1) - δ - T(b + 1). It
    is waited for when the gain is more than b times the loss. Where T grows with every frame, as on a CPU, that is
    never the case; where a batch costs as much as a frame, it is the case for δ < T / (b + 1). A batch of a size that
    has not run yet is taken to cost T(1) for each frame. Under load nothing needs to be waited for: frames gather
    while the batch before runs.
    """

    def __init__(self) -> None:
        self._cost: dict[int, float] = {}
        self._interval: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def came(self, camera: str, at: float) -> None:
        """A frame of ``camera`` came ``at`` (monotonic seconds)."""
        last = self._last.get(camera)
        if last is not None and at > last:
            before = self._interval.get(camera, at - last)
            self._interval[camera] = before + SMOOTHING * (at - last - before)
        self._last[camera] = at

    def forget(self, camera: str) -> None:
        """``camera`` is no more."""
        self._interval.pop(camera, None)
        self._last.pop(camera, None)

    def ran(self, size: int, seconds: float) -> None:
        """A batch of ``size`` frames took ``seconds``."""
        before = self._cost.get(size, seconds)
        self._cost[size] = before + SMOOTHING * (seconds - before)

    def until(self, now: float, *, waiting: int, others: Collection[str]) -> float:
        """When to stop waiting, given how many frames wait and which cameras could add one; ``now`` for at once."""
        if waiting not in self._cost or waiting + 1 not in self._cost or 1 not in self._cost:
            return now
        due = min((at for camera in others if (at := self._next(camera, now)) is not None), default=None)
        if due is None:
            return now
        more = self._cost[waiting + 1] - self._cost[waiting]
        sooner, later = self._cost[1] - more - (due - now), due - now + more
        return due + SLACK if sooner > waiting * later else now

    def _next(self, camera: str, now: float) -> float | None:
        """When ``camera``'s next frame is due, None if that cannot be told or it is overdue."""
        if camera not in self._interval:
            return None
        due = self._last[camera] + self._interval[camera]
        return max(due, now) if now <= due + SLACK else None
