"""Pictures as a page holds them: inside the file itself."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2

from ..footage.scene import Image

JPEG_QUALITY = 88


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for the report's template.

    Attributes:
        uri: a ``data:`` URI that holds the picture as a JPEG.
        width, height: pixels.
        text: what the picture shows, in words.
    """

    uri: str
    width: int
    height: int
    text: str


def picture(rgb: Image, text: str) -> Picture:
    """Encode uint8 RGB (H, W, 3). Raises OSError where that fails."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise OSError("cannot encode a picture for the report")
    height, width = rgb.shape[:2]
    uri = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
    return Picture(uri, width, height, text)
