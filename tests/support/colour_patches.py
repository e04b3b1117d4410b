"""Colour patches as video, and what a player shows of them: an independent reference in float64."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

# ITU-T H.273, MatrixCoefficients: the weights of red and blue.
KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
COLUMNS, ROWS = 8, 6
Array = NDArray[np.float64]


def matrix_shown(tag: int, *, full: bool, rows: int) -> int:
    """The matrix that a player takes, as Chromium 156 was seen to: by name, else by height, full range as JPEG."""
    if tag != 2:
        return tag
    return 6 if full or rows < 720 else 1


def coded(rgb: Array, matrix: int, *, full: bool, bits: int = 8) -> tuple[Array, Array, Array]:
    """RGB of 0…255 as whole Y, Cb and Cr."""
    kr, kb = KR_KB[matrix]
    red, green, blue = (rgb[..., i] / 255 for i in range(3))
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    if full:
        top = 2**bits - 1
        levels = y * top, cb * top + 2 ** (bits - 1), cr * top + 2 ** (bits - 1)
    else:
        step = 2 ** (bits - 8)
        levels = (16 + 219 * y) * step, (128 + 224 * cb) * step, (128 + 224 * cr) * step
    y, cb, cr = (np.rint(level).clip(0, 2**bits - 1) for level in levels)
    return y, cb, cr


def shown(y: Array, cb: Array, cr: Array, matrix: int, *, full: bool, bits: int = 8) -> Array:
    """What a player shows of Y, Cb and Cr: RGB of 0…255."""
    kr, kb = KR_KB[matrix]
    step, half = 2 ** (bits - 8), 2 ** (bits - 1)
    low, luma, swing = (0, 2**bits - 1, 2**bits - 1) if full else (16 * step, 219 * step, 224 * step)
    y, cb, cr = (y - low) / luma, (cb - half) / swing, (cr - half) / swing
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    picture: Array = np.stack((red, green, blue), axis=-1).clip(0, 1) * 255
    return picture


def patches(planes: tuple[Array, Array, Array], rows: int, columns: int, pix_fmt: str) -> av.VideoFrame:
    """A frame in planar 4:2:0 that shows a grid of patches, given their levels (ROWS, COLUMNS)."""
    video = av.VideoFrame(columns, rows, pix_fmt)
    dtype = "<u2" if pix_fmt.endswith("10le") else "u1"
    for plane, levels in zip(video.planes, planes, strict=True):
        down = np.arange(plane.height) * ROWS // plane.height
        across = np.arange(plane.width) * COLUMNS // plane.width
        padded = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
        padded[:, : plane.width] = levels[down][:, across]
        plane.update(padded.tobytes())
    return video


def centres(plane: NDArray[np.generic]) -> Array:
    """The values in the middle of each patch of a picture or plane (H, W, …)."""
    down = (2 * np.arange(ROWS) + 1) * plane.shape[0] // (2 * ROWS)
    across = (2 * np.arange(COLUMNS) + 1) * plane.shape[1] // (2 * COLUMNS)
    values: Array = plane[down][:, across].astype(np.float64)
    return values


def planes_at_centres(video: av.VideoFrame) -> tuple[Array, Array, Array]:
    """Y, Cb and Cr of a yuv420p frame in the middle of each patch."""
    y, cb, cr = (
        centres(np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[:, : plane.width])
        for plane in video.planes
    )
    return y, cb, cr
