"""Says when this machine is too slow for its cameras: once, with the cause and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.counters import TOO_SLOW, StatsSnapshot
from ..core.events import Notice, Publish
from ..core.status import CameraStatus

# Seconds over which frames are counted.
WINDOW = 20.0
# Share of a camera's frames lost above which it is too much, and up to which all is well again.
MANY, FEW = 0.2, 0.05
# Frames in a window below which a share says little.
FEWEST = 10
# Cameras that are named; the others are counted.
NAMED = 3


@dataclass(frozen=True, slots=True)
class _Counted:
    """A camera's frames since the start: that came, were shown, were translated, and were lost to overload."""

    came: int
    shown: int
    translated: int
    lost: int
    looks: bool  # whether objects are looked for

    @classmethod
    def of(cls, stats: StatsSnapshot) -> _Counted:
        dropped = stats.dropped
        return cls(
            came=stats.decoded + dropped.get("skipped", 0),
            shown=stats.translated + stats.passed + stats.brightened,
            translated=stats.translated,
            lost=sum(dropped.get(reason, 0) for reason in TOO_SLOW),
            looks=bool(stats.found.now),
        )

    def since(self, before: _Counted) -> _Counted:
        return _Counted(
            self.came - before.came,
            self.shown - before.shown,
            self.translated - before.translated,
            self.lost - before.lost,
            self.looks,
        )


class OverloadWatch:
    """Looks at the cameras' counters, and publishes ``overload`` and later ``overload_over``.

    Args:
        publish: told when overload begins and when it is over.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._began: float | None = None
        self._before: dict[str, _Counted] = {}
        self._overloaded = False

    def due(self, now: float) -> bool:
        """Whether ``WINDOW`` seconds have passed since the last look, at ``now`` (monotonic seconds)."""
        return self._began is None or now - self._began >= WINDOW

    def look(
        self, cameras: Sequence[CameraStatus], *, now: float, frame_seconds: Mapping[str, float]
    ) -> None:
        """Compare the counters with those of the last look.

        Args:
            cameras: each at present.
            now: monotonic seconds.
            frame_seconds: what one frame takes the engine of a camera, by the camera's name, where that is known.
        """
        counts = {camera.name: _Counted.of(camera.stats) for camera in cameras}
        if self._began is not None:
            lately = {
                name: count.since(self._before[name])
                for name, count in counts.items()
                if name in self._before
            }
            self._judge(lately, now - self._began, frame_seconds)
        self._began, self._before = now, counts

    def _judge(
        self, lately: Mapping[str, _Counted], seconds: float, frame_seconds: Mapping[str, float]
    ) -> None:
        slow = [name for name, count in lately.items() if _too_slow(count, MANY)]
        if slow and not self._overloaded:
            self._overloaded = True
            slow.sort(key=lambda name: lately[name].shown / lately[name].came)
            detail = _detail([(name, lately[name]) for name in slow], seconds, frame_seconds)
            self._publish(Notice(name="overload", detail=detail, level="warning"))
        elif self._overloaded and not any(_too_slow(count, FEW) for count in lately.values()):
            self._overloaded = False
            self._publish(Notice(name="overload_over", detail="this machine keeps up with its cameras again"))


def _too_slow(count: _Counted, share: float) -> bool:
    return count.came >= FEWEST and count.lost > share * count.came


def _detail(slow: Sequence[tuple[str, _Counted]], seconds: float, frame_seconds: Mapping[str, float]) -> str:
    rates = [
        f"{name} shows {count.shown / seconds:.1f} of {count.came / seconds:.1f} frames a second"
        for name, count in slow[:NAMED]
    ]
    if len(slow) > NAMED:
        rates.append(f"{len(slow) - NAMED} more cameras lose frames")
    looks = any(count.looks for _, count in slow)
    taken = [frame_seconds[name] for name, count in slow if count.translated and name in frame_seconds]
    if taken:
        cause = f"translating a frame takes {max(taken) * 1000:.0f} ms"
        way_out = "a smaller stream of the camera, fewer frames a second, or a lighter model"
    else:
        work = "decoding, detection and encoding" if looks else "decoding and encoding"
        cause = f"{work} take all of the processor"
        way_out = "smaller streams of the cameras, fewer frames a second, or fewer cameras"
    if looks:
        way_out = f"`detect: {{every: 3}}`, {way_out}"
    return f"this machine is too slow for its cameras: {', '.join(rates)}; {cause}. What helps: {way_out}"
