"""What a night shows that its camera's own night background does not: evidence, whatever a generator thinks.

n_ref, the night background, is the scene by night without anything that moves, and x_ref the same by day. Where the
night differs from n_ref by more than light and noise, something is there; and because both backgrounds show the same
scene, the ratio of their brightness tells what light falls on a place, so that the night can be lit as by day.

All of it is done on gamma-coded values: a ratio of light stays a ratio there, and noise is nearer to the same
everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Weights of red, green and blue in luma.
GREY = (0.299, 0.587, 0.114)
# The side, pixels, of the cells over which light is compared. Light is smooth over 3 × 3 of them.
CELL = 8
# Added to brightness before it is divided by, [0, 1]: below it a ratio is noise.
DARK = 4 / 255
# By how much the night is brightened at most: beyond it there is more noise than night.
MOST_GAIN = 10.0
# The least noise, [0, 1]: that of rounding and of compression.
LEAST_NOISE = 1 / 255
# Evidence in units of noise that counts as 1, where it is given to a generator.
FULL = 10.0
# Evidence in units of noise, in the mean over 4 × 4 pixels, from which on something may be drawn near by; and from
# which on it may be drawn wholly.
FAINT, CLEAR = 2.0, 3.5
# A place's brightness by night as a share of that by day: below the first nothing can be seen there, from the second
# on it can.
BLACK, LIT = 0.03, 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a night shows beside its backgrounds.

    Attributes:
        relit: the night in the light of day, float32 (N, 3, H, W), at least 0; may exceed 1.
        strength: how much the night differs from n_ref in any light, in units of noise, float32 (N, 1, H, W).
        near: 0 where nothing differs within 8 pixels, 1 where something surely does, float32 (N, 1, H/4, W/4).
        dark: 1 where there is too little light to see anything, 0 where there is enough, float32 (N, 1, H/8, W/8).
    """

    relit: Tensor
    strength: Tensor
    near: Tensor
    dark: Tensor


def evidence(night: Tensor, day_background: Tensor, night_background: Tensor) -> Evidence:
    """Compare a night with its backgrounds, float (N, 3, H, W) RGB in [0, 1] each, H and W multiples of 4."""
    with torch.autocast(night.device.type, enabled=False):
        night, day_background, night_background = (
            x.float() for x in (night, day_background, night_background)
        )
        size = night.shape[-2:]
        lit, by_day, usual = (_light(x) for x in (night, day_background, night_background))
        gain = ((by_day + DARK) / (usual + DARK)).clamp_max(MOST_GAIN)
        relit = night * _enlarged(gain, size)
        luma, usual_luma = _luma(night), _luma(night_background)
        change = _enlarged((_luma(lit) + DARK) / (_luma(usual) + DARK), size)
        difference = torch.minimum((luma - usual_luma).abs(), (luma - usual_luma * change).abs())
        difference = F.avg_pool2d(difference, 3, stride=1, padding=1, count_include_pad=False)
        strength = difference / _noise(difference, usual_luma)
        cells = F.avg_pool2d(strength, 4)
        cells = F.max_pool2d(F.max_pool2d(cells, (5, 1), 1, (2, 0)), (1, 5), 1, (0, 2))
        light = _luma(usual) / (_luma(by_day) + DARK)
        return Evidence(relit, strength, between(cells, FAINT, CLEAR), 1 - between(light, BLACK, LIT))


def between(x: Tensor, low: float, high: float) -> Tensor:
    """0 up to ``low``, 1 from ``high`` on, a line in between."""
    return ((x - low) / (high - low)).clamp(0, 1)


def _noise(difference: Tensor, luma: Tensor) -> Tensor:
    """What the difference is where nothing is there, by the noise of a sensor: difference² = read² + shot · luma.

    The two are fitted to the picture itself by least squares, over the pixels whose difference is not far above
    what is usual, which leaves out what moves. float32 (N, 1, H, W) each.
    """
    square = difference.square()
    keep = torch.ones_like(square)
    for _ in range(3):
        usual = _mean(square * keep) / (_mean(keep) + 1e-6)
        keep = (square <= 6 * usual).float()
    weight = keep / (_mean(keep) + 1e-6)
    mean_luma, mean_square = _mean(weight * luma), _mean(weight * square)
    apart = luma - mean_luma
    shot = _mean(weight * apart * square) / (_mean(weight * apart.square()) + 1e-5)
    shot = shot.clamp_min(0)
    read = (mean_square - shot * mean_luma).clamp_min(0)
    return (read + shot * luma).clamp_min(LEAST_NOISE**2).sqrt()


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=(1, 2, 3), keepdim=True)


def _light(x: Tensor) -> Tensor:
    """Brightness by cells, smoothed over their neighbours: (N, C, H, W) → (N, C, ⌈H/8⌉, ⌈W/8⌉)."""
    height, width = int(x.shape[-2]), int(x.shape[-1])
    grow = (0, -width % CELL, 0, -height % CELL)
    if any(grow):
        x = F.pad(x, grow, mode="replicate")
    x = torch.unflatten(x, 2, (int(x.shape[2]) // CELL, CELL)).mean(3)
    x = torch.unflatten(x, 3, (int(x.shape[3]) // CELL, CELL)).mean(4)
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _enlarged(cells: Tensor, size: torch.Size) -> Tensor:
    height, width = int(size[0]), int(size[1])
    shape = (int(cells.shape[-2]) * CELL, int(cells.shape[-1]) * CELL)
    large = F.interpolate(cells, size=shape, mode="bilinear", antialias=False)
    return large[..., :height, :width]


def _luma(rgb: Tensor) -> Tensor:
    grey = torch.tensor(GREY, device=rgb.device).view(1, 3, 1, 1)
    return (rgb * grey).sum(1, keepdim=True)
