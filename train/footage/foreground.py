"""Where a picture shows more than the background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene import Image, Scene


def foreground_mask(frame: Image, background: Image, *, threshold: int = 28) -> NDArray[np.bool_]:
    """Where a frame differs from the background, cleaned of specks: bool (H, W).

    Args:
        frame: uint8 RGB (H, W, 3).
        background: the same shape.
        threshold: grey levels; the largest difference of the three channels counts.
    """
    difference = np.abs(frame.astype(np.int16) - background.astype(np.int16)).max(axis=2)
    mask = (cv2.GaussianBlur(difference.astype(np.float32), (0, 0), 1.0) > threshold).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    return np.asarray(mask, bool)


def moving_in(frame: Image, scene: Scene) -> NDArray[np.bool_]:
    """Where a picture of a scene shows what moves, bool (H, W). Where no camera is fixed nothing tells: nowhere."""
    if not scene.fixed_camera:
        return np.zeros(frame.shape[:2], bool)
    return foreground_mask(frame, scene.background)
