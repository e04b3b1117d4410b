"""Night or day: whether a camera's picture is worth translating.

A dark picture is night, and so is one without colour (infra-red), however bright the camera's lamps make it. Colour
is what remains once the picture's tint and its small coloured areas are left out; see ``light`` and ``hues``.

A bright picture in colour is day, or a street lit like day. What tells them apart, the best first:

- The sun, where the camera's place is known and its pictures are of this moment.
- The camera's own day: by night lamps lie where by day the sky does. Compared are the order of bright and dark
  places, and how dark the darkest are.
- Else a picture whose upper third is dark, that is warmer on one side, or that lies under one coloured light, may be
  a lit night. It counts as day, and the gate is in doubt.

A picture with hardly any colour may be infra-red, or fog. Then the state stays, and the gate is in doubt. One whose
colours differ little from place to place counts as day, and the gate says that it may be infra-red. Doubt that lasts
is told. The thresholds were measured on fifteen and more public cameras; see "Scene" in benchmarks/NOTES.md. A camera
without colour by day is always taken for night; it needs ``always`` or ``never``.
"""

from __future__ import annotations

from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from ..core.fault_log import FaultLog
from ..core.status import Lit
from .light import HAZE, Light, measure, view_of
from .sun import elevation

TimeOfDay = Literal["day", "night"]
TIMES_OF_DAY: tuple[TimeOfDay, ...] = ("day", "night")
Doubt = Literal["colour", "lit", "pale"]

DOUBTS: dict[Doubt, str] = {
    "colour": "cannot tell whether this is infra-red or a day without colour, such as fog; it stays {state}. "
    "Set `translate: always` or `never` if it is wrong",
    "lit": "cannot tell whether this is day or a night lit like day; it is taken for {state}. Give the "
    "camera's place, `location: [latitude, longitude]`, or set `translate: always` or `never`",
    "pale": "cannot tell whether this is a grey day or an infra-red picture with a tint; it is taken for {state}. "
    "Give the camera's place, `location: [latitude, longitude]`, or set `translate: always` or `never`",
}

# Doubts in which nothing is learnt from a picture.
_UNSURE = ("colour", "lit")

# Mean luma below which it is night, and above which it is bright. In between the state stays.
DARK, BRIGHT = 82.0, 95.0
# Chroma below which a picture is infra-red, and above which it is not. In between the state stays.
GREY, COLOURED = 0.8, 1.4
# Variety of hues below which a bright picture that is taken for day may be infra-red, with a tint, lamps and letters
# all at once. One day picture in twenty has less, so it is told, but the picture still counts as day.
PALE = 1.1
# Mean luma below which a night without colour is dark rather than infra-red: nothing lights it.
PITCH_DARK = 25.0
# Degrees of the sun below which it is night, the end of civil twilight, and above which what is bright is day.
SUN_DOWN, SUN_UP = -6.0, 0.0
# Luma of the upper third below which a bright picture in colour may be a lit night. It counts as darker by ``WARMER``
# times what lamps make one side warmer than the other, from ``BRIGHT_SKY`` on.
DARK_SKY, BRIGHT_SKY, WARMER = 69.5, 120.0, 2.0
# ``Hues.cast`` above which a bright picture may be lit by lamps of one colour.
CAST = 8.0
# How ``likeness_to_day`` tells: below the first it is night, above the second day.
UNLIKE, LIKE = -1.5, 1.5
# Seconds a change must last, which is longer than lightning or a car that turns.
DWELL = 10.0
# Seconds a change must last while the first state is unconfirmed. It may have been guessed from a flash, or from
# the grey that a stream shows while it opens.
FIRST_DWELL = 2.0
# Seconds of the other state that one second of the present state cancels.
CANCEL = 2.0
# Measurements a change takes at least, however far apart they are.
FEWEST = 5
# Seconds between measurements.
INTERVAL = 0.25
# Seconds of doubt after which it is told, and seconds without any after which it is over.
DOUBT_AFTER, DOUBT_OVER = 30.0, 10.0


class NightGate:
    """Decides for one camera whether it is night, with hysteresis and a dwell time, so that it does not flap at dusk.

    The first measurement decides at once. From then on a change takes effect when the other state has been measured
    for ``dwell`` seconds. Each second of the present state cancels two of them. So flashes change nothing unless
    they fill two thirds of the time, and the cars of a busy road do not put off the night for ever. Until the first
    state has been confirmed for ``FIRST_DWELL`` seconds, that many are enough to change it. Time without
    measurements does not count.

    Args:
        dwell: seconds a change must last.
        location: latitude and longitude in degrees. Only for pictures of this moment, not for those of a file.
        day: the camera's own day without anything that moves, (H, W, 3) uint8 RGB, if it is known.
        faults: told of doubt.
    """

    def __init__(
        self,
        *,
        dwell: float = DWELL,
        location: tuple[float, float] | None = None,
        day: NDArray[np.uint8] | None = None,
        faults: FaultLog | None = None,
    ) -> None:
        self._dwell = dwell
        self._location = location
        self._day: NDArray[np.float32] | None = None
        self._faults = faults
        self._night: bool | None = None
        self._light: Light | None = None
        self._verdict: TimeOfDay | None = None  # what the last measurement alone says
        self._measured_at: float | None = None
        self._last_was_other = False  # whether the last measurement was of the other state
        self._other_seconds = 0.0  # how long the other state has been measured
        self._confirmed_seconds = 0.0  # how long the first state has been measured
        self._doubt: Doubt | None = None  # of the last measurement
        self._doubtful_seconds = self._certain_seconds = 0.0
        self._told: Doubt | None = None
        self.know_day(day)

    @property
    def night(self) -> bool | None:
        """The state; None before the first measurement."""
        return self._night

    @property
    def sure(self) -> TimeOfDay | None:
        """The state, if the last measurement clearly shows it; else, as at dusk, in a flash or at the start, None."""
        if self._light is None or self._doubt in _UNSURE or self._confirmed_seconds < FIRST_DWELL:
            return None
        state: TimeOfDay = "night" if self._night else "day"
        return state if self._verdict == state else None

    @property
    def contradicted(self) -> bool:
        """Whether the last measurement shows the other state, which has not lasted long enough to count."""
        state: TimeOfDay = "night" if self._night else "day"
        return self._verdict is not None and self._verdict != state

    @property
    def doubt(self) -> Doubt | None:
        """What it has not been able to tell for ``DOUBT_AFTER`` seconds, if anything."""
        return self._told

    @property
    def light(self) -> Light | None:
        """The last measurement."""
        return self._light

    @property
    def lit(self) -> Lit | None:
        """How the picture is lit; None before the first measurement."""
        if self._night is None or self._light is None:
            return None
        if not self._night:
            return "day"
        if self._light.luma >= PITCH_DARK and self._light.chroma < (GREY + COLOURED) / 2:
            return "infra-red"
        return "dark" if self._light.luma < (DARK + BRIGHT) / 2 else "lit"

    @property
    def told_by(self) -> Literal["sun", "own day", "light"]:
        """What tells bright nights from days: the sun, the camera's own day, or the picture's light alone."""
        if self._location is not None:
            return "sun"
        return "light" if self._day is None else "own day"

    def know_day(self, day: NDArray[np.uint8] | None) -> None:
        """From now on compare with this day of the camera, (H, W, 3) uint8 RGB; None for none."""
        self._day = None if day is None else view_of(day)

    def decide(self, video: av.VideoFrame, *, now: float, time: float | None = None) -> bool:
        """Whether it is night, looking at ``video`` at most every ``INTERVAL`` seconds.

        Args:
            video: a decoded frame.
            now: seconds on the camera's clock.
            time: Unix time of the frame.
        """
        if self._night is None or self._measured_at is None or now - self._measured_at >= INTERVAL:
            return self.update(measure(video), now=now, time=time)
        return self._night

    def update(self, light: Light, *, now: float, time: float | None = None) -> bool:
        """Whether it is night, given one more measurement at ``now`` seconds; see ``decide``."""
        before, self._measured_at, self._light = self._measured_at, now, light
        self._verdict, self._doubt = self._judge(light, time)
        if self._night is None or before is None:
            grey = light.chroma < (GREY + COLOURED) / 2 and not _hazy(light)
            guess = grey or light.luma < (DARK + BRIGHT) / 2
            self._night = guess if self._verdict is None else self._verdict == "night"
            return self._night
        other = self._verdict == ("day" if self._night else "night")
        dwell = self._dwell if self._confirmed_seconds >= FIRST_DWELL else min(self._dwell, FIRST_DWELL)
        lasted = min(now - before, dwell / FEWEST)
        if not other:
            self._other_seconds = max(self._other_seconds - CANCEL * lasted, 0.0)
            self._confirmed_seconds += lasted
        elif self._last_was_other:  # then it is taken for the other state in between, too
            self._other_seconds += lasted
        self._last_was_other = other
        if other and self._other_seconds >= dwell - 1e-6:  # the sum of many steps has rounding errors
            self._night = not self._night
            self._last_was_other, self._other_seconds = False, 0.0
            self._confirmed_seconds = FIRST_DWELL
        self._tell_doubt(lasted)
        return self._night

    def _judge(self, light: Light, time: float | None) -> tuple[TimeOfDay | None, Doubt | None]:
        """What a measurement alone says, and what it cannot tell."""
        height = None
        if self._location is not None and time is not None:
            height = elevation(*self._location, time)
        if light.luma < DARK or (height is not None and height < SUN_DOWN):
            return "night", None
        if light.chroma < GREY and not _hazy(light):
            return "night", None
        if light.luma <= BRIGHT:
            return None, None
        if height is not None:
            return ("day" if height > SUN_UP else None), None
        grey = light.chroma <= COLOURED
        if light.view is not None and self._day is not None:
            likeness = likeness_to_day(light.view, self._day)
            if UNLIKE <= likeness <= LIKE:
                return None, ("colour" if grey else "lit")
            return ("day" if likeness > LIKE else "night"), None
        if grey:
            return None, "colour"
        if light.hues is not None and light.hues.variety < PALE:
            return "day", "pale"
        return "day", ("lit" if _lit_by_lamps(light) else None)

    def _tell_doubt(self, seconds: float) -> None:
        if self._doubt is None:
            self._certain_seconds += seconds
            if self._certain_seconds >= DOUBT_OVER:
                self._doubtful_seconds, self._told = 0.0, None
                if self._faults is not None:
                    self._faults.end("night")
            return
        self._certain_seconds = 0.0
        self._doubtful_seconds += seconds
        if self._doubtful_seconds >= DOUBT_AFTER:
            self._told = self._doubt
            if self._faults is not None:
                self._faults.begin("night", "night_unsure", doubt_text(self._doubt, night=bool(self._night)))


def _hazy(light: Light) -> bool:
    """Whether all but the darkest quarter is bright, as in fog and snow; no lamp lights a night like that."""
    return light.view is not None and float(np.percentile(light.view, 25)) > HAZE


def _lit_by_lamps(light: Light) -> bool:
    """Whether a bright picture in colour may be a night that is lit like day."""
    if light.view is None or light.hues is None:
        return False
    sky = float(np.median(light.view[: len(light.view) // 3]))
    return min(sky, BRIGHT_SKY) - WARMER * light.hues.lamps < DARK_SKY or light.hues.cast > CAST


def doubt_text(doubt: Doubt, *, night: bool) -> str:
    """A doubt in words, with the way out."""
    return DOUBTS[doubt].format(state="night" if night else "day")


def likeness_to_day(view: NDArray[np.float32], day: NDArray[np.float32]) -> float:
    """How a bright picture compares with the camera's day: above 0 for days, below for lit nights, around 0 unsure.

    The sum of the rank correlation of places' luma and of the logarithm of how bright the darkest tenth is beside
    that of the day. Its weights are those of a logistic regression over 21 public cameras.

    Args:
        view, day: ``Light.view`` of both.
    """
    one, other = (np.argsort(np.argsort(picture, axis=None)).astype(np.float64) for picture in (view, day))
    # Pearson's correlation of the ranks, which are 0 to n - 1 in both.
    order = float(((one - one.mean()) * (other - other.mean())).sum() / (len(one) * one.var()))
    dark, day_dark = (float(np.percentile(picture, 10)) + 8 for picture in (view, day))
    return 8.5 * order + 6.3 * float(np.log(dark / day_dark)) - 4.5
