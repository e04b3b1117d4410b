"""How a picture is lit: how bright it is, and how much colour it has besides a tint that lies over all of it.

An infra-red picture is grey, or has one tint that is stronger where the picture is brighter. Its letters, logos and
coloured lamps are small areas. So colour is measured as what remains of the chroma of most of the picture once the
picture's own tint is taken away: the mean colour would not do, since a line of yellow letters raises it above that of
an overcast day. The picture is measured in cells, whose means are free of noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nightday.engines.video.colour import is_full_range
from nightday.engines.video.look import upright

from ..media import gpu_video

# Luma to which brighter pixels are cut.
GLARE = 200
# Cells across the shorter side of the picture.
CELLS = 24
# Samples across a cell.
SAMPLES = 8
# Every so many pixels of every so many rows are measured for the mean luma.
STRIDE = 8
# Luma above which a cell says nothing of the tint: one of the colours is cut off there, and letters are white.
CUT_OFF = 215
# Groups of cells of like luma, through whose medians the tint's line is laid.
GROUPS = 10
# Most chroma that a tint gains with each level of luma: a cast of 35 %.
STEEPEST = 0.2
# Share of the cells that chroma is measured on: letters, logos and lamps are among the others.
MOST = 65
# A hazy picture is one whose darkest cells have this luma. Haze takes away colour and contrast alike. So colour is
# weighed by the contrast that is left, relative to that of a clear day, but at most doubled.
HAZE, CLEAR, WEAKEST = 125.0, 110.0, 0.5
# Columns and rows of ``Light.view``.
VIEW = (16, 12)

Cells = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Light:
    """How a picture is lit.

    Attributes:
        luma: mean, 0 (black) to ``GLARE``.
        chroma: how far the colour of most of the picture is from the picture's tint, in levels: 0 (none) and up.
        view: luma in 16×12 places, float32 (12, 16), 0 to 255; None where it is not known.
    """

    luma: float
    chroma: float
    view: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


def measure(video: av.VideoFrame) -> Light:
    """Light of a decoded frame. 8-bit YUV and grey are measured without conversion.

    Of a frame on a GPU only the cells' means are copied to the host.
    """
    if gpu_video.on_gpu(video):
        return _measure_on_gpu(video)
    name = video.format.name
    if name not in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"):
        video = video.reformat(width=96, height=72, format="yuvj420p")
        name = "yuvj420p"
    full = is_full_range(video)
    step = STRIDE if min(video.width, video.height) >= 64 else 1
    plane = _plane(video, 0)
    mean = float(np.minimum(_stretched(plane[::step, ::step], full), GLARE).mean())
    size = _cell(video.height, video.width)
    luma = _stretched(_means(plane, size, size), full)
    if name == "gray":
        return Light(mean, 0.0, _view(upright(luma, video)))
    if name == "nv12":
        pairs = _plane(video, 1)
        planes = [pairs[:, 0 : 2 * (pairs.shape[1] // 2) : 2], pairs[:, 1::2]]
    else:
        planes = [_plane(video, 1), _plane(video, 2)]
    down = 1 if plane.shape[0] == planes[0].shape[0] else 2
    across = 1 if plane.shape[1] == planes[0].shape[1] else 2
    cb, cr = (_means(part, size // down, size // across) for part in planes)
    return Light(mean, colour(luma, cb, cr), _view(upright(luma, video)))


def colour(luma: Cells, cb: Cells, cr: Cells) -> float:
    """How far the colour of most cells is from the tint of all: see ``Light.chroma``.

    Args:
        luma, cb, cr: means of the cells, (h, w) each, 0 to 255; luma of full range.
    """
    height, width = (min(part.shape[axis] for part in (luma, cb, cr)) for axis in (0, 1))
    flat = np.stack([part[:height, :width].ravel() for part in (luma, cb, cr)])
    known = flat[:, flat[0] <= CUT_OFF]
    if known.shape[1] < 0.3 * flat.shape[1]:
        known = flat
    order = np.argsort(known[0], kind="stable")
    away = np.hypot(*(_without_tint(known[0][order], part[order]) for part in known[1:]))
    chroma = float(np.percentile(away, MOST))
    darkest, low, high = np.percentile(flat[0], (5, 10, 90))
    return chroma / float(np.clip((high - low) / CLEAR, WEAKEST, 1)) if darkest > HAZE else chroma


def view_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``Light.view`` of a picture (H, W, 3) RGB."""
    return _view(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32))


def _without_tint(luma: NDArray[np.float32], chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ``chroma`` is above the line that most of it follows; both (n,), in the order of ``luma``."""
    groups = min(GROUPS, len(luma))
    x = np.array([part.mean() for part in np.array_split(luma, groups)])
    y = np.array([_median(part) for part in np.array_split(chroma, groups)])
    # The median of all slopes (Theil and Sen), so that one group that is all letters does not turn the line.
    one, other = np.triu_indices(len(x), 1)
    apart = x[other] - x[one] > 4
    slope = float(_median((y[other] - y[one])[apart] / (x[other] - x[one])[apart])) if apart.any() else 0.0
    slope = min(max(slope, -STEEPEST), STEEPEST)
    return np.asarray(chroma - slope * luma - _median(y - slope * x), np.float32)


def _median(values: NDArray[np.floating[Any]]) -> np.float32:
    """``np.median`` of few values, which takes most of its time for what it looks at besides."""
    ordered = np.sort(values)
    middle: np.float32 = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return middle


def _measure_on_gpu(video: av.VideoFrame) -> Light:
    luma, chroma = gpu_video.planes_of(video)
    full = is_full_range(video)
    step = STRIDE if min(video.width, video.height) >= 64 else 1
    grey = luma[::step, ::step].float()
    if not full:
        grey = (grey - 16) * (255 / 219)
    size = _cell(video.height, video.width)
    parts = [luma, chroma[..., 0], chroma[..., 1]]
    cells = [
        functional.avg_pool2d(part[None, None].float(), side)[0, 0]
        for part, side in zip(parts, (size, size // 2, size // 2), strict=True)
    ]
    height, width = (min(part.shape[axis] for part in cells) for axis in (0, 1))
    means = torch.stack([part[:height, :width] for part in cells]).cpu().numpy()
    bright = _stretched(means[0], full)
    return Light(
        float(grey.clamp(0, GLARE).mean()), colour(bright, means[1], means[2]), _view(upright(bright, video))
    )


def _cell(height: int, width: int) -> int:
    """Side of a cell in pixels, an even number."""
    return max(2, 2 * round(min(height, width) / CELLS / 2))


def _means(plane: NDArray[np.uint8], high: int, wide: int) -> Cells:
    """Means of a plane's cells of ``high``×``wide`` pixels; of large cells, of every few of their pixels."""
    rows, columns = max(plane.shape[0] // high, 1), max(plane.shape[1] // wide, 1)
    down, across = max(1, high // SAMPLES), max(1, wide // SAMPLES)
    whole = plane[: rows * high : down, : columns * wide : across].astype(np.float32)
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _stretched(grey: NDArray[np.generic], full: bool) -> NDArray[np.float32]:
    """Luma of full range; in studio range 16 is black and 235 white."""
    levels = grey.astype(np.float32)
    return levels if full else np.clip((levels - 16) * np.float32(255 / 219), 0, 255)


def _view(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(luma, VIEW, interpolation=cv2.INTER_AREA), np.float32)


def _plane(video: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    """A plane without its padding, (height, width in bytes); it shares the frame's memory."""
    plane = video.planes[index]
    width = plane.width * (2 if index == 1 and video.format.name == "nv12" else 1)
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]
