"""How a live camera's clock goes against ours: how far its time stamps lead, now and a while ago."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, replace

# Seconds over which the pace is compared.
SPAN = 60.0
# Usual steps over which it is compared, where that is longer than ``SPAN``: a step is then 0.3 % of it. The
# same in pieces, which come up to one of them later or earlier once the network has hesitated, and stay so.
SPAN_STEPS, SPAN_PIECES = 300, 200
# How far a stamp of a stream in pieces may lie ahead, in seconds: one step, within these limits. No piece is longer.
PIECES_AHEAD = 1.0, 10.0
# How far the stamps may move against our clock: seconds and a share of the time passed, which over ``SPAN`` is 2 %;
# or, if that is more, most of a step.
PACE_SLACK, PACE_SHARE, PACE_STEPS = 0.2, 0.015, 0.85
# Seconds over which the best lead is taken, for streams that come picture by picture and for those in pieces.
BUCKET, PIECES_BUCKET = 1.0, 10.0
# Seconds that the stamps may gain on our clock, picture by picture, before their pace is known.
GAIN, PIECES_GAIN = 1.05, 30.0
# A camera's rate varies (some film faster while something moves) if pictures were so many times further apart at one
# time than at another; and by how far apart at the most, in seconds, its stamps may move against our clock.
VARIES, VARIED = 2.0, 1.0


@dataclass(slots=True)
class _Bucket:
    """When a bucket began, and what its pictures had, in seconds.

    Attributes:
        lead: the largest stamp - arrival.
        shortest, longest: from stamp to stamp.
        wait: the longest from arrival to arrival.
    """

    began: float
    lead: float
    shortest: float = math.inf
    longest: float = 0.0
    wait: float = 0.0

    def see(self, step: float, wait: float) -> None:
        """Take in a picture's."""
        self.shortest, self.longest = min(self.shortest, step), max(self.longest, step)
        self.wait = max(self.wait, wait)


def _longest(leads: Collection[_Bucket]) -> float:
    """The longest time between pictures where the camera's rate varies, at most ``VARIED``; else 0."""
    longest = max(bucket.longest for bucket in leads)
    if longest <= VARIES * min(bucket.shortest for bucket in leads):
        return 0.0
    return min(longest, max(bucket.wait for bucket in leads), VARIED)


class Pace:
    """The leads of a connection's stamps over their arrivals, taken over buckets: the first ones and the last.

    Args:
        pieces: whether the stream comes in pieces of several seconds.

    Attributes:
        base: the lead, in seconds, that a stamp in step with our clock would have.
    """

    def __init__(self, *, pieces: bool) -> None:
        self._bucket, self._gain = (PIECES_BUCKET, PIECES_GAIN) if pieces else (BUCKET, GAIN)
        self._pieces = pieces
        self._leads: deque[_Bucket] = deque()
        self.base = 0.0
        self._allowed = 0.0  # how much of that comes from delays that ended
        self._gained = 0.0

    def begin(self, lead: float, arrived: float) -> None:
        """The first picture came ``arrived``."""
        self.base = lead
        self._leads.append(_Bucket(arrived, lead))

    def copied(self) -> Pace:
        """A copy, which does not change with this one."""
        other = Pace(pieces=self._pieces)
        other._leads = deque(replace(bucket) for bucket in self._leads)
        other.base, other._allowed, other._gained = self.base, self._allowed, self._gained
        return other

    @property
    def lead(self) -> float:
        """The largest lead of late, in seconds."""
        return max(bucket.lead for bucket in self._recent())

    def gain(self, seconds: float) -> None:
        """A stamp leads by so many ``seconds`` more than those of late; fewer than none count as none."""
        self._gained += max(seconds, 0.0)

    def see(self, step: float, wait: float) -> None:
        """Take in how far a picture is from the one before, by its stamp and by its arrival."""
        self._leads[-1].see(step, wait)

    def is_wrong(self, lead: float, arrived: float, *, apart: float) -> bool:
        """Whether the clock does not keep pace, seen with the lead of a picture that came ``arrived``.

        ``apart``: seconds between pictures.
        """
        self._note(lead, arrived, apart)
        if len(self._leads) < 4:  # the pace is not known yet
            return self._gained > max(self._gain, PACE_STEPS * apart)
        passed = self._leads[-3].began - self._leads[0].began
        moved = self.lead - self._oldest()
        most = PACE_SLACK + PACE_SHARE * passed + _longest(self._leads) + self._piece()
        return abs(moved) > max(most, PACE_STEPS * apart)

    def allow(self, gain: float, lead: float) -> None:
        """Take a gain for a delay that has ended, so that the lead was as large as ``lead`` before it."""
        base = max(self.base, min(self.base + gain, lead))
        self._allowed += base - self.base
        self.base = base
        for bucket in self._leads:
            bucket.lead = max(bucket.lead, min(bucket.lead + gain, lead))

    def allow_nothing(self) -> None:
        """Take back from ``base`` what was allowed."""
        self.base -= self._allowed

    def _piece(self) -> float:
        """Seconds from one piece to the next, where it comes in pieces; else 0."""
        waits = [bucket.wait for bucket in list(self._leads)[:-1]]
        return min(*waits, PIECES_AHEAD[1]) if self._pieces and waits else 0.0

    def _recent(self) -> list[_Bucket]:
        return list(self._leads)[-3:]

    def _note(self, lead: float, arrived: float, apart: float) -> None:
        if arrived - self._leads[-1].began >= self._bucket:
            self._leads.append(_Bucket(arrived, lead))
        self._leads[-1].lead = max(self._leads[-1].lead, lead)
        span = max(SPAN, SPAN_STEPS * apart, SPAN_PIECES * self._piece())
        while len(self._leads) > 6 and self._leads[1].began < arrived - span:
            self._leads.popleft()
            self.base, self._allowed = self._oldest(), 0.0

    def _oldest(self) -> float:
        return max(bucket.lead for bucket in list(self._leads)[:3])
