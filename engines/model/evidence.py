"""What a night shows that its camera's own night background does not: evidence, whatever a generator thinks.

n_ref, the night background, is the scene by night without anything that moves, and x_ref the same by day. Where the
night differs from n_ref by more than light and noise, something is there; and because both backgrounds show the same
scene, the ratio of their brightness tells what light falls on a place, so that the night can be lit as by day.

All of it is done on gamma-coded values: a ratio of light stays a ratio there, and noise is nearer to the same
everywhere.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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
# The same of means over squares: compression at a camera's bit rate leaves up to 4 levels in one of them.
LEAST_OF_SQUARES = 1.3 / 255
# Evidence in units of noise that counts as 1, where it is given to a generator.
FULL = 10.0
# The side, pixels, of the squares over whose means is told where something may be drawn.
SQUARE = 4
# What the mean over 3 × 3 squares differs by, in units of noise: from the first on something may be drawn near by,
# from the second on wholly.
FAINT, CLEAR = 3.5, 5.5
# What a difference counts for that may be one of light, to say where something may be drawn.
PLAIN = 0.2
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


@dataclass(frozen=True, slots=True)
class Usual:
    """What the backgrounds say by themselves, whatever a night shows.

    Attributes:
        gain: by how much the night is brightened, float32 (N, 3, H, W).
        night: n_ref, float32 (N, 3, H, W).
        luma: n_ref's, float32 (N, 1, H, W).
        cells: n_ref by cells, float32 (N, 3, ⌈H/8⌉, ⌈W/8⌉).
        dark: see ``Evidence``.
    """

    gain: Tensor
    night: Tensor
    luma: Tensor
    cells: Tensor
    dark: Tensor


def evidence(night: Tensor, day_background: Tensor, night_background: Tensor) -> Evidence:
    """Compare a night with its backgrounds, float (N, 3, H, W) RGB in [0, 1] each, H and W multiples of 4."""
    found = usual(day_background, night_background)
    return Evidence(
        night.float() * found.gain, *differences(night, found.night, found.luma, found.cells), found.dark
    )


def usual(day_background: Tensor, night_background: Tensor) -> Usual:
    """What is known before a night is seen, of float (N, 3, H, W) RGB in [0, 1] each."""
    with _in_float32(day_background):
        night = night_background.float()
        by_day, cells = _light(day_background.float()), _light(night)
        gain = ((by_day + DARK) / (cells + DARK)).clamp_max(MOST_GAIN)
        light = _luma(cells) / (_luma(by_day) + DARK)
        dark = 1 - between(light, BLACK, LIT)
        return Usual(_enlarged(gain, night.shape[-2:]), night, _luma(night), cells, dark)


def differences(
    night: Tensor, usual_night: Tensor, usual_luma: Tensor, usual_cells: Tensor
) -> tuple[Tensor, Tensor]:
    """``strength`` and ``near`` of ``Evidence``: of a night, float (N, 3, H, W) in [0, 1], and parts of ``Usual``."""
    with _in_float32(night):
        night = night.float()
        change_of_cells = (_light(night) + DARK) / (usual_cells + DARK)
        change = _enlarged(change_of_cells, night.shape[-2:])
        plain, other_light = (night - usual_night).abs(), (night - usual_night * change).abs()
        least = _box(_most(torch.minimum(plain, other_light)))
        strength = least / _noise(least[..., ::2, ::2], usual_luma[..., ::2, ::2], 3, 6).of(
            usual_luma, LEAST_NOISE
        )
        # Noise of either sign averages out, and what is there does not: in the dark this finds what no pixel shows.
        squares, usual_squares = _means(night, SQUARE), _means(usual_night, SQUARE)
        change = _enlarged(change_of_cells, squares.shape[-2:], CELL // SQUARE)
        plain, other_light = _box(squares - usual_squares).abs(), _box(squares - usual_squares * change).abs()
        least, luma = _most(torch.minimum(plain, other_light)), _luma(usual_squares)
        # The inside of a large, plain thing is like another light, so that a plain difference counts as well.
        there = torch.maximum(least, PLAIN * _most(plain)) / _noise(least, luma, 6, 3).of(
            luma, LEAST_OF_SQUARES
        )
        there = F.max_pool2d(F.max_pool2d(there, (5, 1), 1, (2, 0)), (1, 5), 1, (0, 2))
        return strength, between(there, FAINT, CLEAR)


def _in_float32(like: Tensor) -> AbstractContextManager[object]:
    """Where autocast is off: ratios do not survive half precision. Exported graphs cannot hold it, nor need it."""
    if torch.compiler.is_exporting():
        return nullcontext()
    return torch.autocast(like.device.type, enabled=False)


def between(x: Tensor, low: float, high: float) -> Tensor:
    """0 up to ``low``, 1 from ``high`` on, a line in between."""
    return ((x - low) / (high - low)).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class _Noise:
    """What the difference is where nothing is there, by the noise of a sensor: difference² = read² + shot · luma.

    float32 (N, 1, 1, 1) each: ``read`` is squared.
    """

    read: Tensor
    shot: Tensor

    def of(self, luma: Tensor, least: float) -> Tensor:
        """The difference at a luma, float32 (N, 1, h, w) each, at least ``least``."""
        return (self.read + self.shot * luma).clamp_min(least**2).sqrt()


def _noise(difference: Tensor, luma: Tensor, rounds: int, limit: float) -> _Noise:
    """The noise of a picture by its own differences, float32 (N, 1, h, w) each.

    Fitted by least squares over the places whose difference² is not more than ``limit`` times the mean, which leaves
    out what moves: in so many ``rounds``, since what moves is in the first mean. A mean over few pixels is noisy
    itself; where vehicles fill a sixth of a picture, a wide limit keeps them.
    """
    square = difference.square()
    keep = torch.ones_like(square)
    for _ in range(rounds):
        usual = _mean(square * keep) / (_mean(keep) + 1e-6)
        keep = (square <= limit * usual).float()
    weight = keep / (_mean(keep) + 1e-6)
    mean_luma, mean_square = _mean(weight * luma), _mean(weight * square)
    apart = luma - mean_luma
    shot = _mean(weight * apart * square) / (_mean(weight * apart.square()) + 1e-5)
    shot = shot.clamp_min(0)
    return _Noise((mean_square - shot * mean_luma).clamp_min(0), shot)


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=(1, 2, 3), keepdim=True)


def _light(x: Tensor) -> Tensor:
    """Brightness by cells, smoothed over their neighbours: (N, C, H, W) → (N, C, ⌈H/8⌉, ⌈W/8⌉)."""
    height, width = int(x.shape[-2]), int(x.shape[-1])
    grow = (0, -width % CELL, 0, -height % CELL)
    return _box(_means(F.pad(x, grow, mode="replicate") if any(grow) else x, CELL))


# What follows is written as OpenVINO computes it soonest: it takes twice as long for pooling as for sums of slices,
# for interpolation as for products of matrices, and for sums over channels as for sums of channels.


def _enlarged(cells: Tensor, size: torch.Size, cell: int = CELL) -> Tensor:
    """Bilinear interpolation between the middles of cells, (N, C, ⌈H/cell⌉, ⌈W/cell⌉) → (N, C, H, W)."""
    down, across = (
        _shares(int(count), int(side), cell, cells)
        for count, side in zip(cells.shape[-2:], size, strict=True)
    )
    return torch.matmul(torch.matmul(down, cells), across.T)


def _shares(count: int, side: int, cell: int, like: Tensor) -> Tensor:
    """The share of each of ``count`` cells in each of ``side`` pixels along an axis, float32 (side, count)."""
    at = (torch.arange(side, device=like.device) + 0.5) / cell - 0.5
    away = at.clamp(0, count - 1)[:, None] - torch.arange(count, device=like.device)
    return (1 - away.abs()).clamp_min(0)


def _means(x: Tensor, cell: int) -> Tensor:
    """Means over cells, (N, C, H, W) → (N, C, H / cell, W / cell)."""
    x = torch.unflatten(x, 2, (int(x.shape[2]) // cell, cell)).mean(3)
    return torch.unflatten(x, 3, (int(x.shape[3]) // cell, cell)).mean(4)


def _box(x: Tensor) -> Tensor:
    """Means over 3×3 pixels, over fewer at the border."""
    counts = [_within(int(side), x) for side in x.shape[-2:]]
    x = F.pad(x, (1, 1, 0, 0))
    x = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
    x = F.pad(x, (0, 0, 1, 1))
    x = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return x * (1 / (counts[0][:, None] * counts[1]))


def _within(side: int, like: Tensor) -> Tensor:
    """How many of three neighbouring pixels are within the picture along an axis, float32 (side)."""
    at = torch.arange(side, device=like.device)
    return 1.0 + (at > 0).float() + (at < side - 1).float()


def _most(x: Tensor) -> Tensor:
    """The largest of three channels."""
    return torch.maximum(torch.maximum(x[:, :1], x[:, 1:2]), x[:, 2:])


def _luma(rgb: Tensor) -> Tensor:
    return GREY[0] * rgb[:, :1] + GREY[1] * rgb[:, 1:2] + GREY[2] * rgb[:, 2:]
