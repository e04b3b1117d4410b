"""Pictures that come damaged because packets were lost: how many, and a word to the user.

FFmpeg hides most of the damage. At 2 % of lost packets half of the pictures were wrong, and it marked one in fifteen:
a picture without an error of its own refers to one before it that has one. So all pictures from a loss to the next
key frame are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..core.clock import Clock
from ..core.counters import CameraStats
from ..core.events import NoticeName
from ..media.rtp_log import LostPackets, listening

# Seconds that are looked at together, and the share of damaged pictures in them that the user is told of.
WINDOW, BEARABLE = 10.0, 0.01
# Seconds until the user is told again.
REMIND = 3600.0


class DamageWatch:
    """Counts one connection's pictures between a loss and the next key frame. For the thread that demuxes.

    Args:
        lost: how many packets were lost.
        stats: where damaged pictures are counted.
        warn: told when more than ``BEARABLE`` of the pictures of ``WINDOW`` seconds were damaged.
        advice: what the user can do.
        clock: time.
    """

    def __init__(
        self,
        lost: LostPackets,
        *,
        stats: CameraStats,
        warn: Callable[[NoticeName, str], None],
        advice: str,
        clock: Clock,
    ) -> None:
        self._lost = lost
        self._stats = stats
        self._warn = warn
        self._advice = advice
        self._clock = clock
        self._damaged = False
        self._warned_at: float | None = None
        self._begin_window()

    def begin(self) -> None:
        """This thread demuxes from now on."""
        self._lost.count_here()

    def see_picture(self, *, key: bool) -> None:
        """A picture has been demuxed; ``key`` if it refers to no other."""
        lost = self._lost.take()
        if lost:
            self._damaged = True
        elif key:
            self._damaged = False
        self._window_lost += lost
        self._window_pictures += 1
        if self._damaged:
            self._window_damaged += 1
            self._stats.count_damaged()
        now = self._clock.monotonic()
        if now - self._window_began >= WINDOW:
            if self._window_damaged > BEARABLE * self._window_pictures:
                self._tell(now)
            self._begin_window()

    def _begin_window(self) -> None:
        self._window_began = self._clock.monotonic()
        self._window_pictures = self._window_damaged = self._window_lost = 0

    def _tell(self, now: float) -> None:
        if self._warned_at is None or now - self._warned_at >= REMIND:
            self._warned_at = now
            self._warn(
                "frames_damaged",
                f"{self._window_damaged} of the last {self._window_pictures} pictures came damaged, since "
                f"{self._window_lost} packets were lost on the way (UDP); {self._advice}",
            )


@contextmanager
def watching_damage(
    *, stats: CameraStats, warn: Callable[[NoticeName, str], None], advice: str, clock: Clock
) -> Iterator[DamageWatch]:
    """A watch over a connection that is open while inside."""
    with listening() as lost:
        lost.count_here()  # opening demuxes too, and what was lost by then damages the first pictures
        yield DamageWatch(lost, stats=stats, warn=warn, advice=advice, clock=clock)
