"""Night or day: whether a camera's picture is worth translating.

Two measurements tell night. One is the picture's mean luma, in which pixels brighter than ``GLARE`` count as
``GLARE``, so that headlights and lightning weigh less than the dark around them. The other is colour: an infrared
picture has none, however bright the camera's lamps make it.

The thresholds come from 204 day and 160 night pictures of fifteen public cameras (see "Scene" in
benchmarks/NOTES.md). A brightly lit street cannot be told from day by its luma; such a camera needs
``translate: always``. A camera without colour by day is always taken for night; it needs ``always`` or ``never``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import av
import numpy as np
import torch
from numpy.typing import NDArray

from nightday.engines.video.colour import is_full_range

from ..media import gpu_video

TimeOfDay = Literal["day", "night"]
TIMES_OF_DAY: tuple[TimeOfDay, ...] = ("day", "night")

# Luma to which brighter pixels are cut.
GLARE = 200
# Mean luma below which it is night, and above which it is day. In between the state stays.
DARK, BRIGHT = 82.0, 95.0
# Mean chroma below which a picture is infrared, and above which it is not. In between the state stays.
GREY, COLOURED = 1.2, 1.7
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
# Every so many pixels of every so many rows are measured.
STRIDE = 8


@dataclass(frozen=True, slots=True)
class Light:
    """How a picture is lit.

    Attributes:
        luma: mean, 0 (black) to ``GLARE``.
        chroma: mean of |Cb - 128| + |Cr - 128|: 0 (grey) and up.
    """

    luma: float
    chroma: float


class NightGate:
    """Decides for one camera whether it is night, with hysteresis and a dwell time, so that it does not flap at dusk.

    The first measurement decides at once. From then on a change takes effect when the other state has been measured
    for ``dwell`` seconds. Each second of the present state cancels two of them. So flashes change nothing unless
    they fill two thirds of the time, and the cars of a busy road do not put off the night for ever. Until the first
    state has been confirmed for ``FIRST_DWELL`` seconds, that many are enough to change it. Time without
    measurements does not count.
    """

    def __init__(self, *, dwell: float = DWELL) -> None:
        self._dwell = dwell
        self._night: bool | None = None
        self._light: Light | None = None
        self._measured_at: float | None = None
        self._last_was_other = False  # whether the last measurement was of the other state
        self._other_seconds = 0.0  # how long the other state has been measured
        self._confirmed_seconds = 0.0  # how long the first state has been measured

    @property
    def night(self) -> bool | None:
        """The state; None before the first measurement."""
        return self._night

    @property
    def sure(self) -> TimeOfDay | None:
        """The state, if the last measurement clearly shows it; else, as at dusk, in a flash or at the start, None."""
        light = self._light
        if light is None or self._confirmed_seconds < FIRST_DWELL:
            return None
        if self._night:
            return "night" if light.luma < DARK or light.chroma < GREY else None
        return "day" if light.luma > BRIGHT and light.chroma > COLOURED else None

    @property
    def light(self) -> Light | None:
        """The last measurement."""
        return self._light

    def decide(self, video: av.VideoFrame, *, now: float) -> bool:
        """Whether it is night, looking at ``video`` at most every ``INTERVAL`` seconds. ``now`` in seconds."""
        if self._night is None or self._measured_at is None or now - self._measured_at >= INTERVAL:
            return self.update(measure(video), now=now)
        return self._night

    def update(self, light: Light, *, now: float) -> bool:
        """Whether it is night, given one more measurement at ``now`` seconds."""
        before, self._measured_at, self._light = self._measured_at, now, light
        if self._night is None or before is None:
            self._night = light.chroma < GREY or light.luma < (DARK + BRIGHT) / 2
            return self._night
        if self._night:
            other = light.luma > BRIGHT and light.chroma > COLOURED
        else:
            other = light.luma < DARK or light.chroma < GREY
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
        return self._night


def measure(video: av.VideoFrame) -> Light:
    """Light of a decoded frame, from a sample of its planes. 8-bit YUV and grey are measured without conversion."""
    if gpu_video.on_gpu(video):
        return _measure_on_gpu(video)
    name = video.format.name
    if name not in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"):
        video = video.reformat(width=64, height=48, format="yuvj420p")
        name = "yuvj420p"
    step = STRIDE if min(video.width, video.height) >= 64 else 1
    half = max(step // 2, 1)
    grey = _plane(video, 0)[::step, ::step]
    if is_full_range(video):
        luma = float(np.minimum(grey, GLARE).mean())
    else:  # studio range: 16 is black, 235 white
        luma = float(np.clip((grey.astype(np.float32) - 16) * (255 / 219), 0, GLARE).mean())
    if name == "gray":
        return Light(luma=luma, chroma=0.0)
    if name == "nv12":
        pairs = _plane(video, 1)
        cb, cr = pairs[::half, 0 : 2 * (pairs.shape[1] // 2) : 2 * half], pairs[::half, 1 :: 2 * half]
    else:
        cb, cr = _plane(video, 1)[::half, ::half], _plane(video, 2)[::half, ::half]
    return Light(luma=luma, chroma=sum(float(np.abs(c.astype(np.int16) - 128).mean()) for c in (cb, cr)))


def _measure_on_gpu(video: av.VideoFrame) -> Light:
    """``measure`` for a frame on a GPU. Only three numbers are copied to the host."""
    luma, chroma = gpu_video.planes_of(video)
    step = STRIDE if min(video.width, video.height) >= 64 else 1
    half = max(step // 2, 1)
    grey = luma[::step, ::step].float()
    if not is_full_range(video):
        grey = (grey - 16) * (255 / 219)
    colour = (chroma[::half, ::half].float() - 128).abs()
    means = torch.stack((grey.clamp(0, GLARE).mean(), colour[..., 0].mean(), colour[..., 1].mean()))
    bright, cb, cr = means.cpu().tolist()
    return Light(luma=bright, chroma=cb + cr)


def _plane(video: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    """A plane without its padding, (height, width in bytes); it shares the frame's memory."""
    plane = video.planes[index]
    width = plane.width * (2 if index == 1 and video.format.name == "nv12" else 1)
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]
