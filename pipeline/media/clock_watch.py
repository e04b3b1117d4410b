"""Whether a live camera's time stamps keep pace with our clock."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from .clock_pace import PIECES_AHEAD, SPAN, Pace

Verdict = Literal["believed", "doubted", "started"]

# How far a stamp may lie ahead of every recent one, compared with its arrival, and still be believed at once: in
# seconds, or, if that is more, in steps; and in steps of the first ``FIRST`` waits, where the first picture was old.
AHEAD, AHEAD_STEPS, FIRST_AHEAD_STEPS, FIRST = 0.09, 0.65, 1.05, 2
# Stamps in a row that must agree with the first doubted one until the clock counts as set rather than wrong.
CONFIRM = 3
# Times within ``SPAN`` seconds that a clock may be set; the next time it is not believed any more.
JUMPS = 2
# Stamps in a row, and seconds, that agree with nothing until the clock is not believed any more.
ODD_STAMPS, ODD_SECONDS = 3, 2.0
# Pictures came together, as in a burst, if the last came so many seconds after the one before, or if the last five
# came within so many seconds, which is faster than a camera films.
TOGETHER, FIVE_TOGETHER = 0.004, 0.05
# How far the stamps of two pictures that came together may lie apart: in usual steps (two, and what rounding adds),
# or in seconds while unknown.
BURST_STEPS, BURST_STEP = 2.1, 2.5
# How often in one connection a burst may tell of a delay that has ended, within how many seconds of its beginning,
# and by how many it may gain on our clock then: the first one, which is what a server sends at once at the start, and
# all others together.
DELAYS, DELAY_ENDS = 3, 0.9
BACKLOG, DELAY = 30.0, 3.0


class _Arrivals:
    """When one connection's pictures came.

    Attributes:
        waits: seconds from one arrival to the next, of the last ones.
        gap: seconds without a picture before those that came together last.
    """

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=4)
        self.waits: deque[float] = deque(maxlen=9)
        self.gap = math.inf

    def together(self, arrived: float) -> bool:
        """Whether the next picture, which came ``arrived``, came together with the one before."""
        seen = self._seen
        pair = bool(seen) and arrived - seen[-1] < TOGETHER
        five = len(seen) == 4 and arrived - seen[0] < FIVE_TOGETHER
        if seen:
            self.waits.append(arrived - seen[-1])
            if not (pair or five):
                self.gap = arrived - seen[-1]
        seen.append(arrived)
        return pair or five


@dataclass(slots=True)
class _Delays:
    """Delays of one connection that have ended: few. A clock that is too fast gains in each burst."""

    _count: int = 0
    _began: float = -math.inf
    _left: float = BACKLOG

    def explain(self, gain: float, arrived: float) -> bool:
        """Whether a burst that came ``arrived`` may gain so many seconds because a delay has ended."""
        if arrived - self._began > DELAY_ENDS and self._count < DELAYS:
            self._count, self._began = self._count + 1, arrived
            self._left = BACKLOG if self._count == 1 else min(self._left, DELAY)
        explained = arrived - self._began <= DELAY_ENDS and gain <= self._left
        self._left -= gain if explained else 0.0
        return explained


@dataclass(frozen=True, slots=True)
class _Known:
    """What a ``ClockWatch`` knew of the stamps at one moment."""

    last: tuple[float, float]
    steps: tuple[float, ...]
    pace: Pace
    delays: _Delays


class ClockWatch:
    """Compares one connection's time stamps with the times at which its pictures arrive.

    Pictures may be late, never early. So the largest lead of a stamp over its arrival is steady for a clock that
    keeps pace, whatever the network does: bursts, a stall that is made up for, what a server sends at once at the
    start. It is taken over three buckets and compared with that of ``SPAN`` seconds before, or of the start. Once it
    has moved by more than ``PACE_SLACK`` and ``PACE_SHARE`` of the time between, or by most of a step where pictures
    are seconds apart, the clock is not believed any more.

    A single stamp that goes back, stands still, or lies ahead of all recent ones is doubted. When ``CONFIRM`` more go
    on from it, the clock was set, and a new comparison starts from there. Where stamps agree with nothing for
    ``ODD_SECONDS``, or the clock is set again and again, it is not believed any more.

    Args:
        stamped: whether the source sends stamps at all; else FFmpeg makes them up.
        pieces: whether it comes in pieces of several seconds, as HLS does.
    """

    def __init__(self, *, stamped: bool = True, pieces: bool = False) -> None:
        self._pieces = pieces
        self._why = None if stamped else "it sends no time stamps"
        self._jumps: deque[float] = deque(maxlen=JUMPS)
        self._delays = _Delays()
        self._arrivals = _Arrivals()
        # What was known before the last believed stamp, if that made a long step; and whether such a one was a stray.
        self._before_leap: _Known | None = None
        self._stray = False
        self._last: tuple[float, float] | None = None  # the last believed stamp, and when it came
        self._restart()

    def _restart(self) -> None:
        self._pace = Pace(pieces=self._pieces)
        self._first: tuple[float, float] | None = None  # the first stamp since, and when it came
        self._steps: deque[float] = deque(maxlen=9)
        self._odd: tuple[float, float] | None = None  # the last doubted stamp, and when it came
        self._odd_count = self._confirmed = 0
        self._odd_since = 0.0

    @property
    def reason(self) -> str | None:
        """Why the clock is not believed any more, to be read after the camera's name; None while it is."""
        return self._why

    @property
    def base(self) -> float:
        """The lead, in seconds, that a stamp in step with our clock would have."""
        return self._pace.base

    @property
    def usual_step(self) -> float | None:
        """Seconds from one believed stamp to the next; None while unknown."""
        return median(self._steps) if self._steps else None

    def see(self, stamp: float | None, arrived: float, *, on_time: bool = True) -> Verdict:
        """Judge the ``stamp`` (seconds) of the next picture, which came ``arrived`` (monotonic seconds).

        ``on_time`` says whether it was read as it came; one that had to wait for us tells nothing of the pace.

        "believed": it goes on as those before. "started": it is the first, or the clock was set; compare from here.
        "doubted": go by its arrival.
        """
        together = self._arrivals.together(arrived)
        if self._why is not None:
            return "doubted"
        if stamp is None:
            return self._doubt(None, arrived, together)
        if self._first is None or self._last is None:
            return self._start(stamp, arrived)
        if self._before_leap is not None and stamp <= self._last[0]:
            self._take_back_leap(self._before_leap, stamp)
        step = stamp - self._last[0]
        lead = stamp - arrived
        gain = lead - self._pace.lead
        # A doubted stamp that lies ahead of this one was a stray.
        before = self._last if self._odd is None or stamp <= self._odd[0] else self._odd
        in_burst = together and 0 < stamp - before[0] <= self._step_most()
        if step <= 0 or (gain > self._ahead_most(step) and not in_burst):
            self._stray = self._stray or (self._before_leap is not None and step <= 0)
            return self._doubt(stamp, arrived, together)
        leaps = step > BURST_STEPS * (self.usual_step or math.inf)
        self._before_leap = self._copied() if leaps else None
        self._odd, self._odd_count = None, 0
        self._last = stamp, arrived
        self._steps.append(step)
        if gain > 0 and in_burst and self._delays.explain(gain, arrived):
            self._pace.allow(gain, lead)
        else:
            self._pace.gain(gain)
        self._pace.see(step, self._arrivals.waits[-1])
        if on_time and self._pace.is_wrong(lead, arrived, apart=self._apart()):
            self._disbelieve(stamp, arrived)
        return "believed" if self._why is None else "doubted"

    def _copied(self) -> _Known:
        assert self._last is not None
        return _Known(self._last, tuple(self._steps), self._pace.copied(), replace(self._delays))

    def _take_back_leap(self, known: _Known, stamp: float) -> None:
        """Forget the last believed stamp if ``stamp`` goes on from the one before it, as after a stray."""
        usual = median(known.steps) if known.steps else 0.0
        if 0 < stamp - known.last[0] <= (BURST_STEPS + 1) * usual:
            self._last, self._pace, self._delays = known.last, known.pace, known.delays
            self._steps = deque(known.steps, maxlen=9)
            self._before_leap, self._stray = None, True

    def _start(self, stamp: float, arrived: float) -> Verdict:
        self._first = self._last = stamp, arrived
        self._pace.begin(stamp - arrived, arrived)
        return "started"

    def _step_most(self) -> float:
        usual = self.usual_step
        if usual is None:
            return BURST_STEP
        # A burst may hold all that was filmed since the one before.
        return (
            BURST_STEPS * usual
            if self._stray
            else max(BURST_STEPS * usual, min(BURST_STEP, self._arrivals.gap))
        )

    def _ahead_most(self, step: float | None = None) -> float:
        """How far a stamp may lie ahead. ``step`` is what it says itself, which counts while no other is known."""
        if self._pieces:
            least, most = PIECES_AHEAD
            return max(least, min(most, self.usual_step or step or 0.0))
        steps = AHEAD_STEPS if len(self._arrivals.waits) > FIRST else FIRST_AHEAD_STEPS
        return max(AHEAD, steps * self._apart(step))

    def _apart(self, step: float | None = None) -> float:
        """Seconds between pictures, by their stamps or by their arrivals, whichever is less.

        So neither a clock that is far too fast nor a burst allows itself more.
        """
        by_stamps = self.usual_step or step
        if by_stamps is None or not self._arrivals.waits:
            return 0.0
        return min(by_stamps, max(self._arrivals.waits))

    def _doubt(self, stamp: float | None, arrived: float, together: bool) -> Verdict:
        before, self._odd = self._odd, None if stamp is None else (stamp, arrived)
        self._odd_since = arrived if not self._odd_count else self._odd_since
        self._odd_count += 1
        agrees = False
        if before is not None and stamp is not None and stamp > before[0]:
            step = stamp - before[0]
            in_burst = together and step <= self._step_most()
            agrees = in_burst or abs(step - (arrived - before[1])) <= self._ahead_most()
        self._confirmed = self._confirmed + 1 if agrees else 0
        if stamp is not None and self._confirmed >= CONFIRM:
            return self._jump(stamp, arrived)
        lasted = arrived - self._odd_since >= ODD_SECONDS
        if lasted and self._odd_count >= ODD_STAMPS and not self._confirmed:
            self._disbelieve(stamp, arrived)
        return "doubted"

    def _jump(self, stamp: float, arrived: float) -> Verdict:
        if len(self._jumps) == JUMPS and arrived - self._jumps[0] < SPAN:
            self._why = "its clock is set again and again"
            return "doubted"
        self._jumps.append(arrived)
        self._restart()
        return self._start(stamp, arrived)

    def _disbelieve(self, stamp: float | None, arrived: float) -> None:
        if stamp is None:
            self._why = "it sends no time stamps"
            return
        self._pace.allow_nothing()  # it was the clock
        first, began = self._first or (stamp, arrived)
        last = self._last or (stamp, arrived)
        if self._odd_count and stamp == last[0]:
            self._why = "its clock stands still"
        elif stamp < last[0]:
            self._why = "its clock goes back"
        else:
            self._why = f"its clock went {stamp - first:.2f} s in {arrived - began:.2f} s"
