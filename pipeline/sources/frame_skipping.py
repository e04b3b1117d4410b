"""How much of a live stream is decoded: less of it while most of what is decoded gets thrown away."""

from __future__ import annotations

from collections import deque
from typing import Literal

DecodeLevel = Literal["all", "references", "keys"]

WINDOW = 2.0  # seconds over which the shares below are measured
WASTED = 0.5  # share of the decoded frames that nobody took, above which decoding less loses nothing
USED = 0.25  # share not taken below which the loop may want more than it is given
SATURATED = (
    0.1  # share of the time spent waiting for data below which the stream comes faster than it is decoded
)
AT_EASE = 0.25  # share from which there is room to decode more
HOLD = 8.0  # seconds a level is kept at least before more is decoded again
HOLD_MOST = 128.0
KEY_INTERVAL_MOST = 4.0  # seconds between key frames above which they alone are too few to show

_LEVELS: tuple[DecodeLevel, ...] = ("all", "references", "keys")


class FrameSkipping:
    """Decides what of one connection is decoded, from what became of the frames decoded before.

    Two signals, each over ``WINDOW`` seconds: the share of the decoded frames that were replaced in the slot
    before anybody took them (the loop cannot keep up), and the share of the time in which the reader waited for
    data (the decoder cannot keep up: what has come piles up in the socket). Above ``WASTED``, or below
    ``SATURATED``, non-reference frames are no longer decoded, and after another such window nothing but key
    frames; that only where key frames alone are as many as the loop takes (or the decoder is saturated) and
    come often enough to be shown.

    One level is taken back once few frames are replaced and the decoder has time to spare, but not before the
    level has been held for ``HOLD`` seconds. It cannot oscillate: whether the loop would take more can only be
    tried out, since it can take no more than is decoded, so each try that fails within the hold doubles it, up to
    ``HOLD_MOST``. Under a steady load, whatever it is, the level changes at most twice in that time.
    """

    def __init__(self) -> None:
        self._level = 0
        self._hold = HOLD
        self._changed_at = float("-inf")
        self._lowered_at = float("-inf")
        self._keys: deque[float] = deque(maxlen=5)
        self._began: float | None = None
        self._clear()

    @property
    def level(self) -> DecodeLevel:
        """What is to be decoded: everything, frames others refer to, or key frames only."""
        return _LEVELS[self._level]

    def saw_packet(self, *, now: float, waited: float, key: bool) -> None:
        """A packet came at ``now`` (monotonic seconds) after ``waited`` seconds without one."""
        if self._began is None:
            self._began = now
        self._waited += waited
        if key:
            self._keys.append(now)
        if now - self._began >= WINDOW:
            self._judge(now, now - self._began)
            self._began = now
            self._clear()

    def saw_frame(self, *, replaced: bool) -> None:
        """A decoded frame went to the slot; ``replaced`` says that the one before it had not been taken."""
        self._decoded += 1
        self._replaced += replaced

    def _clear(self) -> None:
        self._waited, self._decoded, self._replaced = 0.0, 0, 0

    def _judge(self, now: float, seconds: float) -> None:
        wasted = self._replaced > WASTED * self._decoded
        saturated = self._waited < SATURATED * seconds
        used = (self._decoded - self._replaced) / seconds
        if wasted or saturated:
            if self._level == 0 or (self._level == 1 and self._keys_suffice(0.0 if saturated else used)):
                # A level taken back too soon is what may not come again and again.
                failed = now - self._lowered_at < self._hold + WINDOW
                self._hold = min(2 * self._hold, HOLD_MOST) if failed else HOLD
                self._level += 1
                self._changed_at = now
        elif (
            self._level
            and now - self._changed_at >= self._hold
            and self._replaced <= USED * self._decoded
            and self._waited >= AT_EASE * seconds
        ):
            self._level -= 1
            self._changed_at = self._lowered_at = now

    def _keys_suffice(self, used: float) -> bool:
        """Whether key frames alone come at least as often as ``used`` frames a second are taken."""
        if len(self._keys) < 2:
            return False
        interval = (self._keys[-1] - self._keys[0]) / (len(self._keys) - 1)
        return interval <= KEY_INTERVAL_MOST and used * interval <= 1.0
