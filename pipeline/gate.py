"""Night or day: whether a camera's picture is worth translating.

Thresholds come from footage of fixed cameras: in twelve public webcams the mean luma of night pictures has a
median of 32 and a 95th percentile of 86, that of day pictures a 5th percentile of 94. A well-lit street at night
(Piccadilly Circus: 119) cannot be told from day by its luma; such a camera wants ``translate: always``.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

DARK, BRIGHT = 80.0, 95.0  # mean luma: night below the one, day above the other, undecided between
GREY, COLOURED = (
    1.5,
    2.5,
)  # mean |Cb - 128| + |Cr - 128|: an IR picture has none; overcast streets have 3.8 and up
DWELL = 10.0  # seconds a change must last: longer than lightning or a car that turns
INTERVAL = 0.25  # seconds between measurements
STRIDE = 8  # every 8th pixel of every 8th row; 20 µs at 352×288, 0.1 ms at 1080p


@dataclass(frozen=True, slots=True)
class Light:
    """How a picture is lit: mean luma 0 (black) to 255, mean absolute chroma 0 (grey) and up."""

    luma: float
    chroma: float


class NightGate:
    """Decides per camera, with hysteresis and a dwell time, so that it does not flap at dusk or under headlights.

    The first measurement decides at once; later ones change the state once they have asked for it without a
    break for ``dwell`` seconds. An infrared picture (no colour) is night however bright its lamps make it.
    """

    def __init__(self, *, dwell: float = DWELL) -> None:
        self._dwell = dwell
        self._night: bool | None = None
        self._measured: float | None = None
        self._asking_since: float | None = None

    @property
    def night(self) -> bool | None:
        """The state; None before the first measurement."""
        return self._night

    def decide(self, video: av.VideoFrame, *, now: float) -> bool:
        """Whether it is night, looking at ``video`` at most every ``INTERVAL`` seconds. ``now`` in seconds."""
        if self._night is None or self._measured is None or now - self._measured >= INTERVAL:
            self._measured = now
            return self.update(measure(video), now=now)
        return self._night

    def update(self, light: Light, *, now: float) -> bool:
        """Whether it is night, given one more measurement at ``now`` seconds."""
        if self._night is None:
            self._night = light.chroma < GREY or light.luma < (DARK + BRIGHT) / 2
            return self._night
        if self._night:
            other = light.luma > BRIGHT and light.chroma > COLOURED
        else:
            other = light.luma < DARK or light.chroma < GREY
        if not other:
            self._asking_since = None
        elif self._asking_since is None:
            self._asking_since = now
        if self._asking_since is not None and now - self._asking_since >= self._dwell:
            self._night = not self._night
            self._asking_since = None
        return self._night


def measure(video: av.VideoFrame) -> Light:
    """Light of a decoded frame from a sample of its planes; no colour is converted for 8-bit YUV and grey."""
    name = video.format.name
    if name not in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"):
        video = video.reformat(width=64, height=48, format="yuvj420p")
        name = "yuvj420p"
    step = STRIDE if min(video.width, video.height) >= 64 else 1
    luma = float(_plane(video, 0)[::step, ::step].mean())
    if not (name.startswith("yuvj") or name == "gray" or video.color_range == 2):
        luma = min(max((luma - 16) * 255 / 219, 0.0), 255.0)  # studio range
    if name == "gray":
        return Light(luma=luma, chroma=0.0)
    half = max(step // 2, 1)
    if name == "nv12":
        pairs = _plane(video, 1)
        cb, cr = pairs[::half, 0 : 2 * (pairs.shape[1] // 2) : 2 * half], pairs[::half, 1 :: 2 * half]
    else:
        cb, cr = _plane(video, 1)[::half, ::half], _plane(video, 2)[::half, ::half]
    return Light(luma=luma, chroma=sum(float(np.abs(c.astype(np.int16) - 128).mean()) for c in (cb, cr)))


def _plane(video: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    """A view (height, width in bytes) of a plane without its padding."""
    plane = video.planes[index]
    width = plane.width * (2 if index == 1 and video.format.name == "nv12" else 1)
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]
