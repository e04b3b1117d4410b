"""Night or day: whether a camera's picture is worth translating.

Two things tell night: the luma of the picture, in which what is brighter than ``GLARE`` counts as that and no more,
so that headlights and lightning weigh less than the dark around them, and the lack of colour of an infrared
picture, however bright its lamps make it.

Measured on 204 day and 160 really dark night pictures of fifteen public cameras: by day luma is 86 and more, and
colour 1.8 and more (overcast, wet asphalt); by night luma has a median of 32, and is above ``DARK`` in 11 % and
above ``BRIGHT`` in 1 % of them. A well-lit street at night (three traffic cameras 88 to 111, Piccadilly Circus
117) cannot be told from day by its luma; such a camera wants ``translate: always``. One that has no colour by day
either is night for ever, and wants ``always`` or ``never``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import av
import numpy as np
import torch
from numpy.typing import NDArray

from ..media import gpu_video

GLARE = 200  # luma above which a pixel is not brighter
DARK, BRIGHT = 82.0, 95.0  # luma: night below the one, day above the other, undecided between
GREY, COLOURED = 1.2, 1.7  # colour: infrared below the one, none above the other
DWELL = 10.0  # seconds a change must last: longer than lightning or a car that turns
FIRST_DWELL = 2.0  # seconds for a first guess: it may be of a flash, or of the grey an opening stream shows
FADE = 2.0  # seconds that one second to the contrary takes from those a change has lasted
FEWEST = 5  # measurements a change takes, however far apart they are
INTERVAL = 0.25  # seconds between measurements
STRIDE = 8  # every 8th pixel of every 8th row


@dataclass(frozen=True, slots=True)
class Light:
    """How a picture is lit.

    Attributes:
        luma: mean, 0 (black) to ``GLARE``.
        chroma: mean |Cb - 128| + |Cr - 128|: 0 (grey) and up.
    """

    luma: float
    chroma: float


class NightGate:
    """Decides per camera, with hysteresis and a dwell time, so that it does not flap at dusk or under headlights.

    The first measurement decides at once. From then on a change takes effect once it has been asked for during
    ``dwell`` seconds, from which measurements to the contrary take twice their time: flashes change nothing unless
    they fill two thirds of the time, and the cars of a busy road do not put off the night for ever. A first guess
    falls after ``FIRST_DWELL`` seconds unless it was confirmed for as long before. Time in which nothing was measured
    counts for nothing.
    """

    def __init__(self, *, dwell: float = DWELL) -> None:
        self._dwell = dwell
        self._night: bool | None = None
        self._light: Light | None = None
        self._measured: float | None = None
        self._asks = False  # the last measurement, for the other state
        self._asked = 0.0  # seconds the other state was asked for
        self._confirmed = 0.0  # seconds the first guess was

    @property
    def night(self) -> bool | None:
        """The state; None before the first measurement."""
        return self._night

    @property
    def sure(self) -> Literal["day", "night"] | None:
        """The state where nothing speaks against it; None at dusk and dawn, in a flash, and for a first guess."""
        light = self._light
        if light is None or self._confirmed < FIRST_DWELL:
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
        if self._night is None or self._measured is None or now - self._measured >= INTERVAL:
            return self.update(measure(video), now=now)
        return self._night

    def update(self, light: Light, *, now: float) -> bool:
        """Whether it is night, given one more measurement at ``now`` seconds."""
        before, self._measured, self._light = self._measured, now, light
        if self._night is None or before is None:
            self._night = light.chroma < GREY or light.luma < (DARK + BRIGHT) / 2
            return self._night
        if self._night:
            other = light.luma > BRIGHT and light.chroma > COLOURED
        else:
            other = light.luma < DARK or light.chroma < GREY
        dwell = self._dwell if self._confirmed >= FIRST_DWELL else min(self._dwell, FIRST_DWELL)
        lasted = min(now - before, dwell / FEWEST)
        if not other:
            self._asked = max(self._asked - FADE * lasted, 0.0)
            self._confirmed += lasted
        elif self._asks:  # before and now, and so, we take it, in between
            self._asked += lasted
        self._asks = other
        if other and self._asked >= dwell - 1e-6:  # a sum of many steps
            self._night = not self._night
            self._asks, self._asked, self._confirmed = False, 0.0, FIRST_DWELL
        return self._night


def measure(video: av.VideoFrame) -> Light:
    """Light of a decoded frame from a sample of its planes; no colour is converted for 8-bit YUV and grey."""
    if gpu_video.on_gpu(video):
        return _measure_there(video)
    name = video.format.name
    if name not in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"):
        video = video.reformat(width=64, height=48, format="yuvj420p")
        name = "yuvj420p"
    step = STRIDE if min(video.width, video.height) >= 64 else 1
    half = max(step // 2, 1)
    grey = _plane(video, 0)[::step, ::step]
    if name.startswith("yuvj") or name == "gray" or video.color_range == 2:
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


def _measure_there(video: av.VideoFrame) -> Light:
    """``measure`` on the GPU that the frame lies on: three numbers come back."""
    luma, chroma = gpu_video.planes_of(video)
    step = STRIDE if min(video.width, video.height) >= 64 else 1
    half = max(step // 2, 1)
    grey = luma[::step, ::step].float()
    if video.color_range != gpu_video.FULL_RANGE:
        grey = (grey - 16) * (255 / 219)
    colour = (chroma[::half, ::half].float() - 128).abs()
    means = torch.stack((grey.clamp(0, GLARE).mean(), colour[..., 0].mean(), colour[..., 1].mean()))
    bright, cb, cr = means.cpu().tolist()
    return Light(luma=bright, chroma=cb + cr)


def _plane(video: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    """A view (height, width in bytes) of a plane without its padding."""
    plane = video.planes[index]
    width = plane.width * (2 if index == 1 and video.format.name == "nv12" else 1)
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]
