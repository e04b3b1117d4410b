"""How much of a live stream is decoded: less of it while most of the decoded frames are thrown away."""

from __future__ import annotations

from collections import deque
from typing import Literal

DecodeLevel = Literal["all", "references", "keys"]

# Seconds over which the shares below are measured.
WINDOW = 2.0
# Share of the decoded frames that nobody took above which less is decoded.
WASTED = 0.5
# Share of the decoded frames that nobody took up to which more may be decoded.
USED = 0.25
# Share of the time spent waiting for data below which the decoder cannot keep up with the stream.
SATURATED = 0.1
# Share of the time spent waiting for data from which the decoder has time to decode more.
AT_EASE = 0.25
# Seconds a level is kept at least before more is decoded again: the shortest, and the longest.
HOLD, HOLD_MOST = 8.0, 128.0
# Seconds for which more must have been decoded until that counts as a success. A decoder that can just not keep up
# takes a while to show it.
TRIED = 32.0
# Seconds between key frames above which key frames alone are too few to show.
KEY_INTERVAL_MOST = 4.0

_LEVELS: tuple[DecodeLevel, ...] = ("all", "references", "keys")


class FrameSkipping:
    """Decides how much of one connection is decoded, by what became of the frames decoded before.

    Two things are measured over ``WINDOW`` seconds: the share of the decoded frames that were replaced in the slot
    before anybody took them (the workers cannot keep up), and the share of the time in which the reader waited for
    data (if it is small, the decoder cannot keep up, and data piles up in the socket). Above ``WASTED``, or below
    ``SATURATED``, frames that no other frame refers to are not decoded any more. After another such window only key
    frames are decoded, if key frames alone are as many as the workers take (or the decoder cannot keep up), and
    come often enough to be shown.

    Once few frames are replaced and the decoder has time to spare, more is decoded again, one level at a time, but
    not before a level has been held for ``HOLD`` seconds. Whether the workers would take more can only be tried
    out, since they cannot take more than is decoded. So each try that fails within the hold, or within ``TRIED``
    seconds, doubles it, up to ``HOLD_MOST``. This prevents oscillation: under any steady load the level changes at
    most twice in that time.
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
        """What is to be decoded: all frames, only those that others refer to, or only key frames."""
        return _LEVELS[self._level]

    def saw_packet(self, *, now: float, waited: float, key: bool) -> None:
        """Note a packet that came at ``now`` (monotonic seconds), after ``waited`` seconds of waiting for it."""
        if self._began is None:
            self._began = now
        self._waited += waited
        if key:
            self._keys.append(now)
        if now - self._began >= WINDOW:
            self._decide(now, now - self._began)
            self._began = now
            self._clear()

    def saw_frame(self, *, replaced: bool) -> None:
        """Note a decoded frame that went to the slot; ``replaced`` says that nobody had taken the one before it."""
        self._decoded += 1
        self._replaced += replaced

    def _clear(self) -> None:
        self._waited, self._decoded, self._replaced = 0.0, 0, 0

    def _decide(self, now: float, seconds: float) -> None:
        wasted = self._replaced > WASTED * self._decoded
        saturated = self._waited < SATURATED * seconds
        used = (self._decoded - self._replaced) / seconds
        if wasted or saturated:
            if self._level == 0 or (self._level == 1 and self._keys_suffice(0.0 if saturated else used)):
                # If more was decoded only a short time ago, that try has failed.
                failed = now - self._lowered_at < max(self._hold, TRIED) + WINDOW
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
