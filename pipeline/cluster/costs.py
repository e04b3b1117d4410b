"""How much processor time each camera of a node takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core.counters import TOO_SLOW, StatsSnapshot
from ..core.status import CameraStatus

# Seconds over which it is measured.
WINDOW = 10.0
# Frames of all cameras in a window below which nothing is told.
FEWEST = 5
# A camera is never reckoned to want more than so many times what it gets.
MOST_WANTED = 8.0


@dataclass(frozen=True, slots=True)
class _Counts:
    shown: int
    translated: int
    lost: int

    @classmethod
    def of(cls, stats: StatsSnapshot) -> _Counts:
        shown = stats.translated + stats.passed + stats.brightened
        return cls(shown, stats.translated, sum(stats.dropped.get(reason, 0) for reason in TOO_SLOW))

    def since(self, before: _Counts) -> _Counts:
        return _Counts(
            self.shown - before.shown, self.translated - before.translated, self.lost - before.lost
        )


class Costs:
    """Divides the process's processor time among the cameras.

    What the engine takes for a frame is measured for each camera; the rest (decoding, encoding) is divided by the
    frames shown. A camera that loses frames to overload wants as much more as it loses.

    Args:
        processor_seconds: the processor time of the process so far.
        clock: monotonic seconds.
    """

    def __init__(self, processor_seconds: Callable[[], float], clock: Callable[[], float]) -> None:
        self._processor_seconds = processor_seconds
        self._clock = clock
        self._at: float | None = None
        self._used = 0.0
        self._before: dict[str, _Counts] = {}
        self._costs: dict[str, float] = {}

    def measure(
        self, cameras: Sequence[CameraStatus], frame_seconds: Mapping[str, float]
    ) -> Mapping[str, float]:
        """Seconds a second of each camera over the last whole window, by name.

        Args:
            cameras: each at present.
            frame_seconds: what one frame takes the engine of a camera, where that is known.
        """
        now = self._clock()
        if self._at is not None and now - self._at < WINDOW:
            return self._costs
        used = self._processor_seconds()
        counts = {camera.name: _Counts.of(camera.stats) for camera in cameras}
        if self._at is not None:
            lately = {
                name: count.since(self._before[name])
                for name, count in counts.items()
                if name in self._before and count.shown >= self._before[name].shown
            }
            if sum(count.shown for count in lately.values()) >= FEWEST:
                self._costs = _divided(used - self._used, now - self._at, lately, frame_seconds)
        self._at, self._used, self._before = now, used, counts
        return self._costs


def _divided(
    used: float, seconds: float, counts: Mapping[str, _Counts], frame_seconds: Mapping[str, float]
) -> dict[str, float]:
    engine = {name: count.translated * frame_seconds.get(name, 0.0) for name, count in counts.items()}
    # Calls that wait for a core take longer than the processor time they use.
    share = min(1.0, used / max(sum(engine.values()), 1e-9))
    rest = max(0.0, used - sum(engine.values()))
    shown = sum(count.shown for count in counts.values())
    return {
        name: (share * engine[name] + rest * count.shown / shown)
        * min(MOST_WANTED, (count.shown + count.lost) / count.shown)
        / seconds
        for name, count in counts.items()
        if count.shown
    }
