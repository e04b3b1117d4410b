"""sRGB bytes to linear light and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scene import Image

Linear = NDArray[np.float32]

_levels = np.arange(256) / 255
_SRGB_TABLE: Linear = np.where(
    _levels <= 0.04045, _levels / 12.92, ((_levels + 0.055) / 1.055) ** 2.4
).astype(np.float32)


def srgb_to_linear(rgb: Image) -> Linear:
    """uint8 sRGB → float32 linear light in [0, 1] (IEC 61966-2-1)."""
    return _SRGB_TABLE[rgb]


def linear_to_srgb(linear: Linear) -> Linear:
    """Linear light → sRGB, both float32, clipped to [0, 1]."""
    x = np.clip(linear, 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, np.float32(1 / 2.4)) - 0.055).astype(
        np.float32
    )


def linear_to_srgb8(linear: Linear) -> Image:
    """Linear light → uint8 sRGB, clipped and rounded."""
    return np.rint(linear_to_srgb(linear) * 255).astype(np.uint8)
