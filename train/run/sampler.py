"""What a training step learns from: pairs of a day and its simulated night, and real nights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..footage.augment import Augmenter, Crop, insert_into_night, relit
from ..footage.night_conditions import random_conditions
from ..footage.night_simulator import NightSimulator
from ..footage.scene import Image, Scene, SceneError
from ..footage.stationary import stationary_masks
from .settings import MIN_CROP, TrainSettings


@dataclass(frozen=True, slots=True)
class Pair:
    """A day crop and its simulated night.

    Attributes:
        day: uint8 RGB (h, w, 3).
        night: the same moment as a night.
        foreground: bool (h, w), where something moves.
        reference: x_ref of the same crop.
    """

    day: Image
    night: Image
    foreground: NDArray[np.bool_]
    reference: Image


@dataclass(frozen=True, slots=True)
class Target:
    """What the output for a real night should be, where that is known.

    Attributes:
        day: x_ref, with what was inserted; uint8 RGB (h, w, 3).
        weight: of each pixel; 0 where nothing is known. float32 (h, w).
        inserted: bool (h, w), where something was inserted that moves.
    """

    day: Image
    weight: NDArray[np.float32]
    inserted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RealNight:
    """A crop of a real night, uint8 RGB (h, w, 3), x_ref of the same crop, and its target with ``still_weight``."""

    night: Image
    reference: Image
    target: Target | None


class Sampler:
    """Draws pairs and real nights.

    Args:
        scene: the camera.
        settings: of the run.
        others: other cameras, whose days become pairs as well.

    Raises:
        SceneError: the pictures are too small, or there is no night to learn from.
    """

    def __init__(self, scene: Scene, settings: TrainSettings, others: Sequence[Scene]) -> None:
        self.scene, self.settings = scene, settings
        self.rng = np.random.default_rng(settings.seed)
        height, width = settings.crop
        for camera in (scene, *others):
            own_height, own_width = camera.background.shape[:2]
            if min(own_height, own_width) < MIN_CROP:
                raise SceneError(
                    f"{camera.name}: pictures are {own_width}×{own_height}; at least {MIN_CROP}×{MIN_CROP} is needed"
                )
            height, width = min(height, own_height // 16 * 16), min(width, own_width // 16 * 16)
        self.augment = Augmenter(scene, (height, width), flip=settings.flip)
        self.others = [Augmenter(other, (height, width), flip=settings.flip) for other in others]
        self.stationary: list[NDArray[np.bool_]] = []
        if settings.still_weight > 0:
            if not scene.night:
                raise SceneError(
                    f"{scene.name}: no night picture to learn its background from; give some in night/"
                )
            self.stationary = stationary_masks(scene)

    def pairs(self) -> list[Pair]:
        """The pairs of a step."""
        return [self.pair() for _ in range(self.settings.pairs or self.settings.batch)]

    def pair(self) -> Pair:
        """A day crop of this camera or another, and its simulated night."""
        camera = self._camera()
        crop = camera.crop(self.rng)
        day, mask = camera.day(self.rng, crop)
        lit = day if self.settings.shade == 0 else relit(self.rng, day, self.settings.shade)
        night = NightSimulator(random_conditions(self.rng), mask.shape, self.rng)(lit, mask)
        return Pair(day, night, mask, crop(camera.background))

    def real_nights(self) -> list[RealNight]:
        """The real nights of a step, with targets where ``still_weight`` asks for them."""
        crops = [self.augment.crop(self.rng) for _ in range(self.settings.batch)]
        picked = [int(self.rng.integers(len(self.scene.night))) for _ in crops]
        return [self._real_night(crop, i) for crop, i in zip(crops, picked, strict=True)]

    def day_crops(self) -> list[Image]:
        """Days for the discriminator."""
        days = self.scene.day
        return [
            self.augment.crop(self.rng)(days[self.rng.integers(len(days))])
            for _ in range(self.settings.batch)
        ]

    def _camera(self) -> Augmenter:
        if self.others and self.rng.random() < self.settings.others_share:
            return self.others[self.rng.integers(len(self.others))]
        return self.augment

    def _real_night(self, crop: Crop, number: int) -> RealNight:
        night, reference = crop(self.scene.night[number]), crop(self.scene.background)
        if not self.stationary:
            return RealNight(night, reference, None)
        night, target = self.with_target(crop, night, number)
        return RealNight(night, reference, target)

    def with_target(self, crop: Crop, night: Image, number: int) -> tuple[Image, Target]:
        """The crop of night ``number``, with moving things in half of all cases, and its target.

        Without moving things the generator would learn that real nights, which it can tell from simulated ones, are
        always empty. They come from this camera's days or another's.
        """
        day, weight = crop(self.scene.background), crop(self.stationary[number]).astype(np.float32)
        if self.rng.random() < 0.5:
            return night, Target(day, weight, np.zeros(weight.shape, bool))
        camera = self._camera()
        other, mask = camera.day(self.rng, crop if camera is self.augment else camera.crop(self.rng))
        night, day, mask = insert_into_night(self.rng, night, day, other, mask)
        weight = np.where(mask, 1 + self.settings.foreground_weight, weight).astype(np.float32)
        return night, Target(day, weight, mask)
