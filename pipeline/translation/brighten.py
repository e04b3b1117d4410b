"""A night made brighter without a model: what is shown while a camera's scene is not known yet.

What is dark is multiplied by more than what is lit, as by gamma; but the factor depends on the surroundings of a
pixel, so that contrasts and colours stay, and it is no larger than the sensor's noise allows. Nothing is invented.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines.device_copies import Pixels

from ..core.stages import BatchItem, each

# Width of the picture of the surroundings, and pixels of it over which they are averaged.
WIDTH, SMOOTH = 96, 3.0
# Every so many rows the noise is measured on.
ROWS = 8
# Grey level that the middle of the picture is brought to, and limits of the gamma.
MIDDLE, STRONGEST, WEAKEST = 90.0, 0.35, 1.0
# Limits of the factor: one that the noise comes out at so many grey levels with, and whatever the noise.
NOISE_SHOWN, MOST = 9.0, 6.0
# A frame's share in the running means of gamma and limit, so that headlights do not make the picture pump.
RATE = 0.05
# A factor is handled as a byte, in so many parts of 1.
PARTS = 40


class Brightener:
    """Brightens the pictures of one camera, one after another."""

    def __init__(self) -> None:
        self._settings: tuple[float, float] | None = None  # gamma, and the limit of the factor

    def __call__(self, rgb: Pixels) -> Pixels:
        """A brighter copy of a picture (H, W, 3) uint8, where that lies."""
        small, rows = _glimpse(rgb)
        around = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), SMOOTH)
        curve = _curve(*self._follow(float(np.median(around)), _noise(rows)))
        factor = np.interp(around, np.arange(256), curve).astype(np.uint8)
        return _on_gpu(rgb, factor, curve) if isinstance(rgb, Tensor) else _on_host(rgb, factor, curve)

    def _follow(self, middle: float, noise: float) -> tuple[float, float]:
        """Gamma and limit for a picture with this middle and this noise, in grey levels."""
        level = min(max(middle, 1.0), 250.0) / 255
        gamma = min(max(np.log(MIDDLE / 255) / np.log(level), STRONGEST), WEAKEST)
        limit = min(max(NOISE_SHOWN / max(noise, 0.1), 1.0), MOST)
        if self._settings is not None:
            before = self._settings
            gamma, limit = (old + RATE * (new - old) for old, new in zip(before, (gamma, limit), strict=True))
        self._settings = float(gamma), float(limit)
        return self._settings


def brighten_stage(items: Sequence[BatchItem]) -> Sequence[BatchItem]:
    """The stage that brightens what cannot be translated yet."""
    return each(items, _brighten, fault="brighten")


def _brighten(item: BatchItem) -> None:
    if item.brightened:
        item.camera.brighten(item)


def _curve(gamma: float, limit: float) -> NDArray[np.uint8]:
    """The factor for each grey level, in ``PARTS``."""
    level = np.maximum(np.arange(256), 1) / 255
    return np.rint(PARTS * np.clip(level ** (gamma - 1), 1, limit)).astype(np.uint8)


def _glimpse(rgb: Pixels) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A small version of a picture and some of its rows, on the host; of a GPU no whole frame is copied."""
    height, width = rgb.shape[:2]
    wide = min(WIDTH, width)
    high = max(1, round(wide * height / width))
    if isinstance(rgb, Tensor):
        small = torch.nn.functional.adaptive_avg_pool2d(rgb.permute(2, 0, 1).float(), (high, wide))
        return small.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy(), rgb[::ROWS].cpu().numpy()
    step = max(1, width // (4 * WIDTH))
    sparse = np.ascontiguousarray(rgb[::step, ::step])
    return np.asarray(cv2.resize(sparse, (wide, high), interpolation=cv2.INTER_AREA), np.uint8), rgb[::ROWS]


def _noise(rows: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in green, in grey levels: of what neighbours differ by at most places.

    The median of the absolute value of a normal variable is 0.6745 deviations, and a second difference has six times
    the variance.
    """
    green = rows[..., 1].astype(np.int16)
    second = green[:, 2:] - 2 * green[:, 1:-1] + green[:, :-2]
    return float(np.median(np.abs(second)) / 0.6745 / np.sqrt(6)) if second.size else 0.0


def _on_host(
    rgb: NDArray[np.uint8], factor: NDArray[np.uint8], curve: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    around = cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR)
    # What is bright in dark surroundings, such as a lamp, is not made brighter than the curve makes it.
    own = cv2.LUT(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), curve)
    least = cv2.min(around, own)
    return np.asarray(cv2.multiply(rgb, cv2.merge((least, least, least)), scale=1 / PARTS), np.uint8)


def _on_gpu(rgb: Tensor, factor: NDArray[np.uint8], curve: NDArray[np.uint8]) -> Tensor:
    coarse = torch.from_numpy(factor).to(rgb.device).float()[None, None]
    around = torch.nn.functional.interpolate(coarse, rgb.shape[:2], mode="bilinear")[0, 0]
    luma = rgb.float() @ torch.tensor((0.299, 0.587, 0.114), device=rgb.device)
    own = torch.from_numpy(curve).to(rgb.device)[luma.round().long()].float()
    least = torch.minimum(around, own)[..., None] / PARTS
    return (rgb.float() * least).round().clamp(max=255).to(torch.uint8)
