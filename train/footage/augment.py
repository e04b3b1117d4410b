"""Crops of a scene, and day frames with more moving things in them than the camera happened to see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .foreground import moving_in
from .linear_light import linear_to_srgb8, srgb_to_linear
from .night_conditions import random_conditions
from .night_simulator import NightSimulator
from .scene import Image, Scene

# At most this many other frames give their foreground to one.
PASTES = 2
# Nodes along a side of a random field of light: from the first number to below the second.
GRID = (2, 9)
# Share of a day picture that differs from x_ref; above it its light is another, and the difference says nothing of
# what moves.
OTHER_LIGHT = 0.25
# Standard deviation in pixels of the blur from which a night's light is estimated.
LIGHT_BLUR = 6.0
# Grey levels, blurred, that a thing must change a night by to count as visible; and that blur's standard deviation in
# pixels.
VISIBLE, VISIBLE_BLUR = 4.0, 3.0
# Photons at white; the noise that is left is below a grey level.
NO_NOISE = 1e6
# How far a paste is moved at most, share of the frame's size: far enough to leave the lane, near enough to keep the
# perspective.
SHIFT = 0.08


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of the frame, flipped or not. A night, its x_ref and its day must be cut by the same crop.

    Attributes:
        top, left, height, width: pixels.
        flip: mirror left and right.
    """

    top: int
    left: int
    height: int
    width: int
    flip: bool

    def __call__(self, image: NDArray[np.generic]) -> NDArray[Any]:
        """The crop of an array (H, W, ...), contiguous."""
        out = image[self.top : self.top + self.height, self.left : self.left + self.width]
        return np.ascontiguousarray(out[:, ::-1] if self.flip else out)


class Augmenter:
    """Draws crops, and day crops with foreground copied in from other times, moved and recoloured.

    Ten seconds of a camera show a handful of cars in a handful of places. Moving them, and changing their
    brightness and hue, keeps the generator from learning which car stands where. Day pictures in another light than
    x_ref's are left out, since their difference to x_ref says nothing of what moves. Where no camera is fixed the
    days are given as they are.

    Args:
        scene: day frames and x_ref.
        crop: (height, width), no larger than the frame.
        flip: mirror half the crops. Without it the generator need learn the background only one way round, and a
            fixed camera is never mirrored.
    """

    def __init__(self, scene: Scene, crop: tuple[int, int], *, flip: bool = False) -> None:
        self.size = crop
        self.flip = flip
        masked = [(frame, moving_in(frame, scene)) for frame in scene.day]
        self.days = [(frame, mask) for frame, mask in masked if mask.mean() <= OTHER_LIGHT]
        self.background, self.fixed_camera = scene.background, scene.fixed_camera

    def crop(self, rng: np.random.Generator) -> Crop:
        """A crop anywhere in the frame."""
        height, width = self.background.shape[:2]
        h, w = self.size
        return Crop(
            top=int(rng.integers(height - h + 1)),
            left=int(rng.integers(width - w + 1)),
            height=h,
            width=w,
            flip=self.flip and bool(rng.random() < 0.5),
        )

    def day(self, rng: np.random.Generator, crop: Crop) -> tuple[Image, NDArray[np.bool_]]:
        """A day picture and its foreground mask, (h, w, 3) uint8 and (h, w) bool."""
        day, mask = self.background, np.zeros(self.background.shape[:2], bool)
        if not self.days:
            return crop(day), crop(mask)
        i = int(rng.integers(len(self.days)))
        if not self.fixed_camera:
            day, mask = self.days[i]
            return crop(day), crop(mask)
        if rng.random() >= 0.15:
            day, mask = self.days[i]
        for _ in range(int(rng.integers(PASTES + 1))):
            day, mask = self._paste(rng, day, mask)
        return crop(day), crop(mask)

    def _paste(
        self, rng: np.random.Generator, day: Image, mask: NDArray[np.bool_]
    ) -> tuple[Image, NDArray[np.bool_]]:
        frame, moving = self.days[rng.integers(len(self.days))]
        height, width = mask.shape
        dy, dx = rng.uniform(-SHIFT, SHIFT, 2) * (height, width)
        scale = 1 + rng.uniform(-0.1, 0.1)
        move = np.array([[scale, 0, dx + width / 2 * (1 - scale)], [0, scale, dy + height / 2 * (1 - scale)]])
        other = cv2.warpAffine(frame, move, (width, height), flags=cv2.INTER_LINEAR)
        pasted = cv2.warpAffine(moving.astype(np.uint8), move, (width, height), flags=cv2.INTER_NEAREST)
        if rng.random() < 0.5:
            other = _recolour(rng, other)
        # A soft edge: a hard one would teach the generator where the pastes are.
        return _mixed(other, day, _soft(pasted.astype(bool))), mask | pasted.astype(bool)


def relit(rng: np.random.Generator, day: Image, most: float) -> Image:
    """A day in another light, see ``light_field``: uint8 RGB (H, W, 3)."""
    return lit_by(day, light_field(rng, day.shape[:2], most))


def light_field(rng: np.random.Generator, shape: tuple[int, int], most: float) -> NDArray[np.float32]:
    """A light that is brighter in some places and darker in others, with soft or hard borders.

    Args:
        rng: source of it.
        shape: (H, W).
        most: the largest change of the light, in powers of two of linear light.

    Returns:
        Factors of linear light, float32 (H, W).
    """
    height, width = shape
    nodes = rng.normal(size=rng.integers(*GRID, size=2)).astype(np.float32)
    field = cv2.resize(nodes, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        field = np.tanh(4 * field)  # the edge of a shadow
    stops = np.float32(rng.uniform(0, most)) * np.clip(field, -1, 1)
    return np.asarray(np.exp2(stops), np.float32)


def lit_by(day: Image, field: NDArray[np.float32]) -> Image:
    """A picture, uint8 RGB (H, W, 3), in that light."""
    return linear_to_srgb8(srgb_to_linear(day) * field[..., None])


@dataclass(frozen=True, slots=True)
class Inserted:
    """What ``insert_into_night`` made.

    Attributes:
        night, day: with what was inserted, uint8 RGB (H, W, 3).
        visible: where it can be seen, bool (H, W).
        night_background: n_ref with the lamps that came too; None where it was not given.
    """

    night: Image
    day: Image
    visible: NDArray[np.bool_]
    night_background: Image | None


def insert_into_night(
    rng: np.random.Generator,
    night: Image,
    background: Image,
    day: Image,
    mask: NDArray[np.bool_],
    night_background: Image | None = None,
) -> Inserted:
    """A real night and its day with things inserted that were seen at another time by day.

    The light that falls on a place is the ratio of what the night and the day show there: I = L R, intensity is light
    times reflectance. What is inserted is lit by that light, and brings vehicle lights of its own. Lamps that the
    night did not have come with it, so that not everything bright is a thing. All is done in linear light, which adds
    up. Things that no light falls on are left out of the day: a generator that must draw them draws smears into dark
    skies.

    Args:
        night: uint8 RGB (H, W, 3), as all of these.
        background: its day, x_ref.
        day: a picture by day that has the thing.
        mask: where the thing is, bool (H, W).
        night_background: n_ref, if it is wanted too; lamps that come with the thing stand there all night.
    """
    intensity, reflectance = (
        cv2.GaussianBlur(srgb_to_linear(picture), (0, 0), LIGHT_BLUR) for picture in (night, background)
    )
    light = np.minimum(intensity / np.maximum(reflectance, 0.01), 1)
    drawn = random_conditions(rng)
    lights = replace(drawn, ambient=0.0, photons=NO_NOISE, read_noise=0.0, jpeg_quality=0)
    simulate = NightSimulator(lights, mask.shape, rng)
    soft, own = _soft(mask), srgb_to_linear(night)
    lamps = srgb_to_linear(simulate(background))
    without = own + lamps
    more = srgb_to_linear(simulate(_mixed(day, background, soft), mask))
    lit = own * (1 - soft) + srgb_to_linear(day) * light * soft + more
    noise = rng.normal(0, drawn.read_noise, day.shape).astype(np.float32) * soft
    bare, clean, noisy = (linear_to_srgb8(picture) for picture in (without, lit, lit + noise))
    apart = cv2.absdiff(clean, bare).max(axis=2).astype(np.float32)
    visible = mask & (cv2.GaussianBlur(apart, (0, 0), VISIBLE_BLUR) > VISIBLE)
    if night_background is not None:
        night_background = linear_to_srgb8(srgb_to_linear(night_background) + lamps)
    return Inserted(noisy, _mixed(day, background, _soft(visible)), visible, night_background)


def _soft(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)[..., None], np.float32)


def _mixed(day: Image, background: Image, soft: NDArray[np.float32]) -> Image:
    return np.rint(day * soft + background * (1 - soft)).astype(np.uint8)


def _recolour(rng: np.random.Generator, rgb: Image) -> Image:
    """The picture with another hue, saturation and brightness."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 2.0), 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.6, 1.3), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)
