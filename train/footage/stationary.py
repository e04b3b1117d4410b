"""Where a real night shows nothing but the camera's background, however it is lit."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .checks import same_edges
from .foreground import foreground_mask
from .linear_light import linear_to_srgb8, srgb_to_linear
from .scene import Image, Scene, temporal_median

STILL = 20  # grey levels that a night may be off the nights' median, lit as it is
LIGHT_OVER = 0.05  # share of the height: standard deviation of the means that a night's light is told by
DARK = 1e-3  # linear light below which a ratio says nothing
CLOSED = 0.1  # share of the height: gaps in the outline of what moved that are closed
BUSY = 0.1  # share of the days with something at a place from which on it is no sure background
MATCH = 0.4  # correlation of the nights' edges with those of x_ref above which it is: a queue has edges of its own
BLINDING = 245  # grey levels, of two channels, from which on a night may be too bright to show anything
BLIND_OVER = 0.06  # share of the height: diameter from which on such a place is no headlight
OFTEN = 0.1  # share of the nights that blind at a place from which on a lamp does, not something lit
SAME = 0.8  # correlation of a night's edges with those of the nights' median above which it differs in light alone


def still_places(scene: Scene) -> list[NDArray[np.bool_]]:
    """Where each night shows the background for sure, bool (H, W): it agrees with the median of all, however lit.

    What stands still through all nights, such as a queue of cars in a short clip, agrees as well: so places are left
    out where things pass by day, unless the nights have the edges of x_ref there. Clouds and sun may change all of a
    day; what counts is which places change most. A house that the sun wanders over is such a place, and known by its
    windows. Where lamps blind the camera night after night there is nothing else to show.
    """
    empty = temporal_median(scene.night)
    days = [scene.day[i] for i in np.linspace(0, len(scene.day) - 1, min(50, len(scene.day))).astype(int)]
    passed = np.mean([foreground_mask(day, scene.background) for day in days], axis=0)
    busy = passed > max(BUSY, 2 * float(np.median(passed)))
    doubtful = busy & (same_edges(scene.background, empty) < MATCH)
    near = np.ones((9, 9), np.uint8)

    def moved(night: Image) -> NDArray[np.bool_]:
        # Lamps may take another colour: where nothing passes, edges in place are enough.
        return _moved(night, empty) & (busy | (same_edges(empty, night) < SAME))

    blind = [_blind(night) for night in scene.night]
    lamps = np.mean(blind, axis=0) > OFTEN
    return [
        (cv2.dilate((moved(night) | doubtful).astype(np.uint8), near) == 0) | (bright & lamps)
        for night, bright in zip(scene.night, blind, strict=True)
    ]


def _blind(night: Image) -> NDArray[np.bool_]:
    """Where a night is too bright over more than a headlight, with the rim of it, bool (H, W)."""
    side = round(BLIND_OVER * len(night)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    bright = (np.median(night, axis=2) >= BLINDING).astype(np.uint8)
    found = cv2.morphologyEx(bright, cv2.MORPH_OPEN, disc)
    return np.asarray(cv2.dilate(found, np.ones((7, 7), np.uint8)) > 0)


def _moved(night: Image, empty: Image) -> NDArray[np.bool_]:
    """Where a night differs from the median of all by more than its light, bool (H, W).

    Lamps and headlights change what falls on a place, not its details, and are told by means over ``LIGHT_OVER`` of
    the height. What is larger and plain keeps but its outline then, which is filled.
    """
    height = len(night)
    lit, usual = (
        cv2.GaussianBlur(srgb_to_linear(picture), (0, 0), LIGHT_OVER * height) + DARK
        for picture in (night, empty)
    )
    expected = linear_to_srgb8(srgb_to_linear(empty) * (lit / usual))
    other = [foreground_mask(night, picture, threshold=STILL) for picture in (empty, expected)]
    side = round(CLOSED * height) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    found = cv2.morphologyEx((other[0] & other[1]).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(found, outlines, -1, 1, cv2.FILLED) > 0)
