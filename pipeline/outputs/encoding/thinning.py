"""At most so many pictures a second, evenly, by the camera's clock."""

from __future__ import annotations

from fractions import Fraction

from ...core.frame import Frame

# Pictures that may be saved up, and the part of one that is enough: the times of a camera jitter.
_MOST = 2.0
_ENOUGH = 0.75


class Thinning:
    """Which frames of a camera are taken, so that they are at most ``fps`` a second on average.

    Asked twice about a frame it answers alike, so outputs that share it take the same ones. One thread at a time.
    """

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._credit = 1.0
        self._last: tuple[Fraction, float] | None = (
            None  # time by the camera's clock, and when it was decoded
        )
        self._takes = True

    def takes(self, frame: Frame) -> bool:
        """Whether ``frame`` is taken."""
        if self._fps is None:
            return True
        asked = frame.pts * frame.time_base, frame.decoded_at
        if self._last is None or asked[0] < self._last[0]:
            self._credit = 1.0
        elif asked == self._last:
            return self._takes
        else:
            self._credit = min(_MOST, self._credit + float(asked[0] - self._last[0]) * self._fps)
        self._last = asked
        self._takes = self._credit >= _ENOUGH
        if self._takes:
            self._credit -= 1
        return self._takes
