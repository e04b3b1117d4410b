"""JPEG in the colours that every viewer reads it by: BT.601 at full range.

OpenCV writes those. FFmpeg's encoder keeps the matrix of the video, which a JPEG cannot name.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Of 100. At 90 flat colours keep within two levels.
QUALITY = 90
# Pixels a side, by the format.
LARGEST = 65_500


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
