"""What a training step learns from: pairs of a day and its simulated night, and real nights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..footage import night_background
from ..footage.augment import Augmenter, Crop, insert_into_night, light_field, lit_by
from ..footage.night_conditions import random_conditions
from ..footage.night_simulator import NightSimulator
from ..footage.scene import Image, Scene, SceneError
from ..footage.stationary import passed_by_day, stationary_masks
from .settings import MIN_CROP, TrainSettings


@dataclass(frozen=True, slots=True)
class Pair:
    """A day crop and its simulated night.

    Attributes:
        day: uint8 RGB (h, w, 3).
        night: the same moment as a night.
        foreground: bool (h, w), where something moves.
        reference: x_ref of the same crop.
        night_reference: n_ref of it, where the generator sees one.
    """

    day: Image
    night: Image
    foreground: NDArray[np.bool_]
    reference: Image
    night_reference: Image | None


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
    """A crop of a real night.

    Attributes:
        night: uint8 RGB (h, w, 3), as the others.
        reference: x_ref of the same crop.
        night_reference: n_ref of it, where the generator sees one.
        target: with ``still_weight``.
        passed: where things pass by day, bool (h, w), with a target.
    """

    night: Image
    reference: Image
    night_reference: Image | None
    target: Target | None
    passed: NDArray[np.bool_] | None


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
        self.cameras = [_Camera(each, settings, (height, width)) for each in (scene, *others)]
        self.own, *self.others = self.cameras
        self.with_nights = [camera for camera in self.cameras if camera.scene.night]
        needed = self.with_nights if settings.backgrounds else self.own.scene.night
        if settings.still_weight > 0 and not needed:
            raise SceneError(
                f"{scene.name}: no night picture to learn its background from; give some in night/"
            )

    def pairs(self) -> list[Pair]:
        """The pairs of a step."""
        return [self.pair() for _ in range(self.settings.pairs or self.settings.batch)]

    def pair(self) -> Pair:
        """A day crop of this camera or another, and its simulated night."""
        camera, rng = self._camera(), self.rng
        crop = camera.augment.crop(rng)
        day, mask = camera.augment.day(rng, crop)
        field = light_field(rng, mask.shape, self.settings.shade) if self.settings.shade > 0 else None

        def lit(picture: Image) -> Image:
            return picture if field is None else lit_by(picture, field)

        conditions = random_conditions(rng)
        night = NightSimulator(conditions, mask.shape, rng)(lit(day), mask)
        reference, night_reference = crop(camera.scene.background), None
        if self.settings.backgrounds:
            ghost, passed = camera.augment.day(rng, crop)
            night_reference = night_background.simulated(
                rng, conditions, lit(reference), (lit(ghost), passed)
            )
        return Pair(day, night, mask, reference, night_reference)

    def real_nights(self) -> list[RealNight]:
        """The real nights of a step, with targets where ``still_weight`` asks for them."""
        return [self._real_night() for _ in range(self.settings.batch)]

    def day_crops(self) -> list[Image]:
        """Days for the discriminator."""
        days = self.scene.day
        return [
            self.own.augment.crop(self.rng)(days[self.rng.integers(len(days))])
            for _ in range(self.settings.batch)
        ]

    def _camera(self) -> _Camera:
        if self.others and self.rng.random() < self.settings.others_share:
            return self.others[self.rng.integers(len(self.others))]
        return self.own

    def _real_night(self) -> RealNight:
        rng, camera = self.rng, self.own
        if self.settings.backgrounds and (
            not camera.scene.night or rng.random() < self.settings.others_share
        ):
            camera = self.with_nights[rng.integers(len(self.with_nights))]
        crop = camera.augment.crop(rng)
        number = int(rng.integers(len(camera.scene.night)))
        night, reference = crop(camera.scene.night[number]), crop(camera.scene.background)
        night_reference = None
        if self.settings.backgrounds:
            night_reference = night_background.of_others(rng, [crop(n) for n in camera.scene.night], number)
        if not camera.stationary:
            return RealNight(night, reference, night_reference, None, None)
        return self.with_target(
            camera, crop, RealNight(night, reference, night_reference, None, None), number
        )

    def with_target(self, camera: _Camera, crop: Crop, real: RealNight, number: int) -> RealNight:
        """The crop ``real`` of the camera's night ``number`` with moving things in half of all cases, and its target.

        Without moving things the generator would learn that real nights, which it can tell from simulated ones, are
        always empty. They come from this camera's days or another's.
        """
        rng, passed = self.rng, crop(camera.passed)
        day, weight = real.reference, crop(camera.stationary[number]).astype(np.float32)
        if rng.random() < 0.5:
            return replace(real, target=Target(day, weight, np.zeros(weight.shape, bool)), passed=passed)
        source = self._camera()
        other, mask = source.augment.day(rng, crop if source is camera else source.augment.crop(rng))
        made = insert_into_night(rng, real.night, day, other, mask, real.night_reference)
        weight = np.where(made.visible, 1 + self.settings.foreground_weight, weight).astype(np.float32)
        target = Target(made.day, weight, made.visible)
        return RealNight(made.night, real.reference, made.night_background, target, passed)


class _Camera:
    """A camera's crops, and what its nights and days say of each place."""

    def __init__(self, scene: Scene, settings: TrainSettings, crop: tuple[int, int]) -> None:
        self.scene = scene
        self.augment = Augmenter(scene, crop, flip=settings.flip)
        self.stationary: list[NDArray[np.bool_]] = []
        self.passed = np.zeros(scene.background.shape[:2], bool)
        if settings.still_weight > 0 and scene.night:
            self.stationary = stationary_masks(scene)
            self.passed = passed_by_day(scene)
