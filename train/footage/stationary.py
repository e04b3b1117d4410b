"""Where a real night shows nothing but the camera's background, however it is lit."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .edges import same_edges
from .foreground import foreground_mask
from .linear_light import linear_to_srgb8, srgb_to_linear
from .scene import Image, Scene, temporal_median

# Grey levels that a night may differ by from the nights' median in the same light.
TOLERANCE = 20
# Standard deviation of the blur from which a night's light is estimated, share of the height.
LIGHT_BLUR = 0.05
# Linear light below which a ratio says nothing.
DARK = 1e-3
# Gaps in the outline of what moved that are closed, share of the height.
GAP = 0.1
# Share of the days with something at a place; from this on the place is no sure background.
BUSY = 0.1
# Correlation of the edges of the nights and of x_ref; below it something else is there, such as a queue of cars.
BACKGROUND_EDGES = 0.4
# Correlation of the edges of a night and of the nights' median; above it they differ in light alone.
NIGHT_EDGES = 0.8
# Grey levels, of two channels; from this on a night may be too bright to show anything.
BLINDING = 245
# Diameter of such a place, share of the height; from this on it is no headlight.
BLINDING_SIZE = 0.06
# Share of the nights that are too bright at a place; from this on a lamp is the cause, not something lit.
OFTEN = 0.1


def stationary_masks(scene: Scene) -> list[NDArray[np.bool_]]:
    """Where each night surely shows the background, bool (H, W): it agrees with the median of all in any light.

    Things that do not move through all nights, such as a queue of cars in a short clip, agree with it as well. So
    places where things pass by day are left out, unless the nights have the edges of x_ref there. Clouds and sun may
    change a whole day; what counts is which places change most. A house front on which the sunlight moves is such a
    place, and is recognised by its windows. Where lamps blind the camera night after night nothing else could be
    shown, so these places count as background.
    """
    empty = temporal_median(scene.night)
    passed = _share_passed(scene)
    busy = passed > max(BUSY, 2 * float(np.median(passed)))
    doubtful = busy & (same_edges(scene.background, empty) < BACKGROUND_EDGES)
    near = np.ones((9, 9), np.uint8)

    def moved(night: Image) -> NDArray[np.bool_]:
        # A lamp may change its colour: where nothing passes, edges in the same place are enough.
        return np.asarray(_moved(night, empty) & (busy | (same_edges(empty, night) < NIGHT_EDGES)))

    blind = [_blind(night) for night in scene.night]
    lamps = np.mean(blind, axis=0) > OFTEN
    return [
        (cv2.dilate((moved(night) | doubtful).astype(np.uint8), near) == 0) | (bright & lamps)
        for night, bright in zip(scene.night, blind, strict=True)
    ]


def passed_by_day(scene: Scene) -> NDArray[np.bool_]:
    """Where things pass by day, and a little around it, bool (H, W)."""
    share = _share_passed(scene)
    often = share > max(0.02, 2 * float(np.median(share)))
    return np.asarray(cv2.dilate(often.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)


def _share_passed(scene: Scene) -> NDArray[np.float64]:
    """The share of the days with something at a place, (H, W)."""
    days = [scene.day[i] for i in np.linspace(0, len(scene.day) - 1, min(50, len(scene.day))).astype(int)]
    return np.asarray(np.mean([foreground_mask(day, scene.background) for day in days], axis=0))


def _blind(night: Image) -> NDArray[np.bool_]:
    """Where a night is too bright over an area larger than a headlight, with its rim, bool (H, W)."""
    side = round(BLINDING_SIZE * len(night)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    bright = (np.median(night, axis=2) >= BLINDING).astype(np.uint8)
    found = cv2.morphologyEx(bright, cv2.MORPH_OPEN, disc)
    return np.asarray(cv2.dilate(found, np.ones((7, 7), np.uint8)) > 0)


def _moved(night: Image, empty: Image) -> NDArray[np.bool_]:
    """Where a night differs from the median of all by more than its light, bool (H, W).

    Lamps and headlights change the light that falls on a place but not its details; the light is estimated by a blur
    over ``LIGHT_BLUR`` of the height. Of a large plain thing only the outline is left then, and is filled.
    """
    height = len(night)
    lit, usual = (
        cv2.GaussianBlur(srgb_to_linear(picture), (0, 0), LIGHT_BLUR * height) + DARK
        for picture in (night, empty)
    )
    expected = linear_to_srgb8(srgb_to_linear(empty) * (lit / usual))
    other = [foreground_mask(night, picture, threshold=TOLERANCE) for picture in (empty, expected)]
    side = round(GAP * height) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    found = cv2.morphologyEx((other[0] & other[1]).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(found, outlines, -1, 1, cv2.FILLED) > 0)
