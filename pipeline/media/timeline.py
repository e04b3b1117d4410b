"""One strictly rising timeline for a camera's whole life, whatever PTS its connections send."""

from __future__ import annotations

from fractions import Fraction

# Seconds a live camera's clock may run ahead of ours between two frames before it counts as a jump.
LEAP = 10.0
# Seconds a PTS may lie behind the last before it counts as a jump rather than a frame out of order.
SLIP = 1.0


class Timeline:
    """Maps each frame's own PTS to a strictly rising one in one time base, that of the first connection.

    The first connection keeps its PTS as they are (moved up to 0 if they begin below). Every later one goes
    on after the last frame: by the time that passed on our clock if the source is live, by one frame's
    duration if it is a file. The same happens where a PTS is missing, and where one jumps: backwards by
    ``SLIP`` or more or, in a live source, ahead of our clock by more than ``LEAP``. A frame whose PTS repeats
    or lies a little behind is out of order and is left out.
    """

    def __init__(self) -> None:
        self._time_base: Fraction | None = None
        self._ratio = Fraction(1)
        self._live = True
        self._frame_ticks = 1
        self._keep_own = True
        self._offset: int | None = None
        self._last: int | None = None
        self._last_own: int | None = None
        self._last_at = 0.0

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick, the same for the camera's whole life. ``begin`` must have been called."""
        if self._time_base is None:
            raise RuntimeError("a timeline has no time base before its first connection begins")
        return self._time_base

    def begin(self, *, time_base: Fraction, live: bool, frame_seconds: float) -> None:
        """Start a connection whose PTS count in ``time_base`` and whose frames last ``frame_seconds``."""
        if self._time_base is None:
            self._time_base = time_base
        self._ratio = time_base / self._time_base
        self._live = live
        self._frame_ticks = max(1, round(frame_seconds / self._time_base))
        self._keep_own = self._last is None
        self._offset = None
        self._last_own = None

    def place(self, pts: int | None, *, now: float) -> int | None:
        """The PTS on the timeline of a frame that came ``now`` (monotonic seconds); None if it is out of order."""
        placed = self._after_last(now) if pts is None else self._place_own(pts, now)
        if placed is not None:
            self._last, self._last_at = placed, now
        return placed

    def _place_own(self, pts: int, now: float) -> int | None:
        own = round(pts * self._ratio)
        if self._offset is None:
            floor = 0 if self._last is None else self._last + 1
            self._offset = 0 if self._keep_own and own >= floor else self._after_last(now) - own
        elif self._last_own is not None and self._last is not None:
            if self._last_own >= pts > self._last_own - SLIP / (self._ratio * self.time_base):
                return None
            ahead = (own + self._offset - self._last) * self.time_base - (now - self._last_at)
            if pts <= self._last_own or (self._live and ahead > LEAP):
                self._offset = self._after_last(now) - own
        self._last_own = pts
        placed = own + self._offset
        # A time base finer than the camera's first one can round two frames to one tick.
        return placed if self._last is None else max(placed, self._last + 1)

    def _after_last(self, now: float) -> int:
        if self._last is None:
            return 0
        elapsed = round((now - self._last_at) / self.time_base) if self._live else self._frame_ticks
        return self._last + max(1, elapsed)
