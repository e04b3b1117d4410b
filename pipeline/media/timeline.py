"""One strictly rising timeline for a camera's whole life, whatever PTS its connections send."""

from __future__ import annotations

from fractions import Fraction

from .clock_pace import PACE_SHARE
from .clock_watch import ClockWatch

# Seconds by which a PTS may differ from where it is expected. A file's that lies further behind is a jump rather than
# a frame out of order.
SLIP = 1.0
# Share of the passing time by which a timeline that is ahead of our clock falls back to it.
SLEW = 0.5


class Timeline:
    """Maps each frame's own PTS to a strictly rising one in one time base, that of the first connection.

    The first connection keeps its PTS as they are (moved up to 0 if they begin below). Every later one goes
    on after the last frame: by the time that passed on our clock if the source is live, by one frame's
    duration if it is a file. What a live one's clock had by then gained or lost on ours, at more than ``PACE_SHARE``,
    is made up for: it was too short to be noticed.

    The PTS of a live source are kept as long as its ``ClockWatch`` believes them. A doubted one is placed by its
    arrival, and those after it where their own PTS say. A clock that was set goes on from its arrival. Once the
    clock is not believed any more, frames are placed by their arrival alone: a timeline that had fallen behind our
    clock catches up at once, one that had run ahead within twice that time. No frame is left out.

    In a file a frame whose PTS repeats or lies a little behind is out of order and left out; one without a PTS, or
    ``SLIP`` or more behind, goes on after one frame's duration.
    """

    def __init__(self) -> None:
        self._time_base: Fraction | None = None
        self._tick = 1.0  # seconds, the time base as a float
        self._ratio = Fraction(1)
        self._watch: ClockWatch | None = None
        self._frame_ticks = 1
        self._keep_own = True
        self._offset: int | None = None
        self._last: int | None = None
        self._last_own: int | None = None
        self._last_at = 0.0
        # The last frame that was placed by its own PTS: its place, when it came, and how many were not since.
        self._anchor: tuple[int, float] | None = None
        self._doubted = 0
        self._connecting, self._began_at = True, 0.0  # whether its first frame is to come, and when that came
        self._line: int | None = (
            None  # what our clock in ticks is short of the timeline, once frames go by arrival
        )
        self._lead = 0.0  # seconds that the timeline is ahead of that

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick, the same for the camera's whole life. ``begin`` must have been called."""
        if self._time_base is None:
            raise RuntimeError("a timeline has no time base before its first connection begins")
        return self._time_base

    @property
    def shift(self) -> Fraction | None:
        """Seconds by which the connection's own PTS are moved; None while frames go by their arrival alone."""
        if self._offset is None or self._line is not None:
            return None
        return self._offset * self.time_base

    def begin(self, *, time_base: Fraction, frame_seconds: float, watch: ClockWatch | None) -> None:
        """Start a connection whose PTS count in ``time_base`` and whose frames last ``frame_seconds``.

        ``watch`` judges the clock of a live source; None for a file.
        """
        if self._time_base is None:
            self._time_base, self._tick = time_base, float(time_base)
        self._ratio = time_base / self._time_base
        self._anchor = None if self._last is None else (self._last - self._wrong_by(), self._last_at)
        self._watch, self._connecting = watch, True
        self._frame_ticks = max(1, round(frame_seconds / self._time_base))
        self._keep_own = self._last is None
        self._offset = self._last_own = self._line = None
        self._lead, self._doubted = 0.0, 0

    def place(self, pts: int | None, *, now: float, on_time: bool = True) -> int | None:
        """The PTS on the timeline of a frame that came ``now`` (monotonic seconds); None if it is out of order.

        ``on_time`` is for the ``ClockWatch``.
        """
        if self._watch is not None:
            placed = self._place_live(self._watch, pts, now, on_time)
        elif pts is None:
            placed = self._after_last()
        else:
            in_file = self._place_in_file(pts)
            if in_file is None:
                return None
            placed = in_file
        # A time base finer than the camera's first one can round two frames to one tick.
        placed = placed if self._last is None else max(placed, self._last + 1)
        if self._connecting:
            self._connecting, self._began_at = False, now
        self._last, self._last_at = placed, now
        return placed

    def _wrong_by(self) -> int:
        """Ticks by which the clock of the connection that ended made the timeline too long."""
        if self._line is not None:
            return round(self._lead / self._tick)
        if self._watch is None or self._offset is None or self._last is None:
            return 0
        wrong = self._last - self._line_of(self._watch, self._offset) - round(self._last_at / self._tick)
        passed = self._last_at - self._began_at
        return wrong if abs(wrong) * self._tick > PACE_SHARE * passed else 0

    def _place_in_file(self, pts: int) -> int | None:
        own = round(pts * self._ratio)
        if self._offset is None:
            self._offset = self._start(own, self._after_last())
        elif self._last_own is not None:
            if self._last_own >= pts > self._last_own - SLIP / (self._ratio * self.time_base):
                return None
            if pts <= self._last_own:
                self._offset = self._after_last() - own
        self._last_own = pts
        return own + self._offset

    def _place_live(self, watch: ClockWatch, pts: int | None, now: float, on_time: bool) -> int:
        own = None if pts is None else pts if self._ratio == 1 else round(pts * self._ratio)
        stamp = None if own is None else own * self._tick
        verdict = watch.see(stamp, now, on_time=on_time)
        if watch.reason is not None:
            return self._by_arrival(watch, now)
        if own is None or verdict == "doubted":
            self._doubted += 1
            return self._between(watch, now)
        if verdict == "started" or self._offset is None:
            self._offset = self._start(own, self._since_anchor(now))
        placed = own + self._offset
        self._anchor, self._doubted = (placed, now), 0
        return placed

    def _start(self, own: int, place: int) -> int:
        """What to add to PTS from ``own`` on, so that it comes to ``place``.

        The first connection's own are kept, also if FFmpeg has given no PTS to the frame or two before.
        """
        first = self._keep_own and self._offset is None
        near = self._last is None or self._last < own <= place + SLIP / self._tick
        return 0 if first and own >= 0 and near else place - own

    def _since_anchor(self, now: float) -> int:
        """The place of a frame that came ``now``, by the time since the last that was placed by its own PTS."""
        if self._anchor is None:
            self._anchor = 0, now
        placed, at = self._anchor
        return placed + round((now - at) / self._tick)

    def _between(self, watch: ClockWatch, now: float) -> int:
        """As ``_since_anchor``, but no later than usual: the frame may be the first of a burst."""
        place = self._since_anchor(now)
        if watch.usual_step is None or self._anchor is None:
            return place
        return min(place, self._anchor[0] + round(self._doubted * watch.usual_step / self._tick))

    def _by_arrival(self, watch: ClockWatch, now: float) -> int:
        ticks = round(now / self._tick)
        if self._line is None:
            if self._offset is None or self._last is None:
                self._line = self._since_anchor(now) - ticks
            else:
                self._line = self._line_of(watch, self._offset)
                reached = self._line + round(self._last_at / self._tick)
                self._lead = max(0.0, (self._last - reached) * self._tick)
        self._lead = max(0.0, self._lead - SLEW * (now - self._last_at))
        return self._line + ticks + round(self._lead / self._tick)

    def _line_of(self, watch: ClockWatch, offset: int) -> int:
        """What our clock in ticks is short of the timeline, as of the pictures whose PTS ``offset`` moves."""
        return offset + round(watch.base / self._tick)

    def _after_last(self) -> int:
        return 0 if self._last is None else self._last + self._frame_ticks
