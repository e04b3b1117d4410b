"""Pictures as PNG and JPEG files.

A JPEG has the colours that every viewer reads it by: BT.601 at full range. OpenCV writes those. FFmpeg's encoder
keeps the matrix of the video, which a JPEG cannot name.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .atomic_file import write_atomically

# Of 100. At 90 flat colours keep within two levels.
QUALITY = 90
# Pixels a side, by the format.
LARGEST = 65_500


def save_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write ``rgb`` (H, W, 3) to ``path`` in one step; its folder is made if missing.

    Everybody may read the file, since a web server or another user shows it. Raises OSError naming the file.
    """
    try:
        write_atomically(path, [png_of(rgb)], mode=0o644)
    except ValueError as error:
        raise OSError(f"{error} for {path}") from None


def png_of(rgb: NDArray[np.uint8]) -> bytes:
    """``rgb`` (H, W, 3) as a PNG file. Raises ValueError where that cannot be done."""
    encoded, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError(f"cannot encode a picture of {rgb.shape} as PNG")
    return data.tobytes()


def jpeg_of(rgb: NDArray[np.uint8]) -> bytes:
    """``rgb`` (H, W, 3) as a JPEG file. Raises ValueError where that cannot be done."""
    height, width = rgb.shape[:2]
    if max(height, width) <= LARGEST:
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        encoded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if encoded:
            return data.tobytes()
    raise ValueError(
        f"a picture of {width}x{height} cannot be made a JPEG; its sides may have {LARGEST} at most"
    )


def with_square_pixels(rgb: NDArray[np.uint8], pixel_aspect: Fraction) -> NDArray[np.uint8]:
    """A picture (H, W, 3), whose pixels are ``pixel_aspect`` times as wide as high, enlarged until they are square.

    PNG and JPEG files have square pixels in every viewer.
    """
    if pixel_aspect == 1:
        return rgb
    height, width = rgb.shape[:2]
    wider, higher = max(pixel_aspect, Fraction(1)), max(1 / pixel_aspect, Fraction(1))
    enlarged = cv2.resize(rgb, (round(width * wider), round(height * higher)), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, np.uint8)
