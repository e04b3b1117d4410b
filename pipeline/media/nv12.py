"""NV12, the format of a GPU's video decoder and encoder, to RGB and back, on the device that the tensors are on.

Chroma is replicated on the way to RGB and averaged over 2×2 pixels on the way back, as swscale does it for frames on
the host: both paths show the same picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nightday.engines.video import colour

# Bytes that rows are aligned to, as in memory that CUDA allocates for pictures.
_PITCH = 256


def to_rgb(
    luma: Tensor,
    chroma: Tensor,
    *,
    colorspace: int,
    full_range: bool,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Colour of one frame or a batch: uint8 RGB (…, H, W, 3), contiguous, in memory of its own.

    Args:
        luma: uint8 (…, H, W), none or one leading dimension.
        chroma: uint8 (…, H/2, W/2, 2), Cb and Cr; one row or column less where H or W is odd.
        colorspace: FFmpeg's number of the matrix; where that names none, the rows decide.
        full_range: whether levels are 0…255 rather than 16…235 and 16…240.
        size: (H', W') that means over areas shrink the frames to; None leaves their size.
    """
    matrix = colour.matrix_of(colorspace, full_range=full_range, rows=int(luma.shape[-2]))
    red, blue = colour.WEIGHTS[matrix]
    low, high, swing = (0, 255, 255) if full_range else (16, 219, 224)
    y = (luma.float() - low) * (255 / high)
    cb, cr = ((chroma.float() - 128) * (255 / swing)).unbind(-1)
    green = 1 - red - blue
    tint = torch.stack(
        (
            2 * (1 - red) * cr,
            -2 * (blue * (1 - blue) * cb + red * (1 - red) * cr) / green,
            2 * (1 - blue) * cb,
        ),
        dim=-1,
    )
    if size is None:
        rows, columns = (_halves(int(luma.shape[at]), int(tint.shape[at - 1]), tint) for at in (-2, -1))
        tint = tint[..., rows[:, None], columns, :]
    else:
        y, tint = _shrunk(y.unsqueeze(-1), size).squeeze(-1), _shrunk(tint, size)
    return (y.unsqueeze(-1) + tint).round_().clamp_(0, 255).to(torch.uint8)


def from_rgb(rgb: Tensor, *, colorspace: int, full_range: bool = False, out: Tensor | None = None) -> Tensor:
    """A picture as NV12: uint8 (H + H/2, W), luma above the rows of Cb and Cr in turn.

    It is one piece of memory with aligned rows: NVENC is given the luma's address alone, and takes what follows it in
    memory for the chroma.

    Args:
        rgb: uint8 (H, W, 3), H and W even.
        colorspace: FFmpeg's number of the matrix; where that names none, the rows decide.
        full_range: whether levels are to be 0…255 rather than 16…235 and 16…240.
        out: the result for an earlier picture of this size, to be written over; None allocates memory.
    """
    height, width = int(rgb.shape[0]), int(rgb.shape[1])
    red, blue = colour.WEIGHTS[colour.matrix_of(colorspace, full_range=full_range, rows=height)]
    low, high, swing = (0, 255, 255) if full_range else (16, 219, 224)
    pixels = rgb.permute(2, 0, 1)[None].float()
    quarter = F.avg_pool2d(pixels, 2)[0]

    def grey(of: Tensor) -> Tensor:
        return red * of[0] + (1 - red - blue) * of[1] + blue * of[2]

    if out is None:
        pitch = -(-width // _PITCH) * _PITCH
        out = torch.empty((height * 3 // 2, pitch), dtype=torch.uint8, device=rgb.device)
    packed = out[:, :width]
    packed[:height] = _byte(low + grey(pixels[0]) * (high / 255))
    mean = grey(quarter)
    packed[height:, 0::2] = _byte(128 + (quarter[2] - mean) * (swing / 510 / (1 - blue)))
    packed[height:, 1::2] = _byte(128 + (quarter[0] - mean) * (swing / 510 / (1 - red)))
    return packed


def _byte(levels: Tensor) -> Tensor:
    return levels.round_().clamp_(0, 255).to(torch.uint8)


def _halves(pixels: int, samples: int, like: Tensor) -> Tensor:
    """The number of each pixel's chroma sample, for so many pixels; the last sample serves those beyond it."""
    return (torch.arange(pixels, device=like.device) // 2).clamp_(max=samples - 1)


def _shrunk(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Shrunk by averaging over areas: (…, H, W, C) → (…, H', W', C)."""
    batch = values if values.dim() == 4 else values[None]
    small = F.interpolate(batch.permute(0, 3, 1, 2), size=size, mode="area").permute(0, 2, 3, 1)
    return small if values.dim() == 4 else small[0]
