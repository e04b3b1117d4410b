"""Scores a method's pictures of test nights: against paired truth, against real days, and over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..footage.foreground import foreground_mask
from ..footage.scene import Image, temporal_median
from .image_distances import (
    FeatureMap,
    Features,
    Mask,
    background_std,
    bootstrap,
    feature_distance,
    frechet_distance,
    kernel_distance,
    some,
    ssim,
    warped_error,
    whitening,
)

Box = tuple[int, int, int, int]

# PSNR of pictures that are the same, dB; no other comes near it.
IDENTICAL = 99.0

# Share of a feature's 8×8 pixels from which on it counts as foreground.
MOVING = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Test nights of one camera and what to compare their translations with.

    Attributes:
        nights: uint8 RGB (H, W, 3) each.
        truth: the same moments by day, or None.
        real: real days that translations should look like; the truth where there is one.
        background: x_ref.
        keep: bool (H, W), the pixels that count: all but burned-in labels.
        video: whether the nights are consecutive frames.
        more_nights: other nights of the camera, from which its empty night is taken too; only used without truth.
        floor: other real days, to see by how much two sets of real days differ.
        night_background: n_ref, where it is to be had.
    """

    nights: Sequence[Image]
    truth: Sequence[Image] | None
    real: Sequence[Image]
    background: Image
    keep: Mask
    video: bool = False
    more_nights: Sequence[Image] = field(default=())
    floor: Sequence[Image] = field(default=())
    night_background: Image | None = None

    def foreground(self) -> list[Mask]:
        """Where something moves in each night: from the truth, or else against the nights' own median."""
        if self.truth is not None:
            return [foreground_mask(day, self.background) & self.keep for day in self.truth]
        empty = temporal_median([*self.more_nights, *self.nights])
        return [foreground_mask(night, empty) & self.keep for night in self.nights]


def keep_mask(shape: tuple[int, ...], labels: Sequence[Box]) -> Mask:
    """bool (H, W): False inside the boxes (left, top, right, bottom)."""
    keep = np.ones(shape[:2], bool)
    for left, top, right, bottom in labels:
        keep[top:bottom, left:right] = False
    return keep


@dataclass(frozen=True, slots=True)
class Psnr:
    """PSNR in dB over all pixels of all frames together, labels left out; NaN where there is no pixel.

    It is at most ``IDENTICAL``.

    Attributes:
        whole: every pixel.
        foreground: those where something moves.
        background: the others.
    """

    whole: float
    foreground: float
    background: float


def psnr(pictures: Sequence[Image], truth: Sequence[Image], foreground: Sequence[Mask], keep: Mask) -> Psnr:
    """PSNR of ``pictures`` to ``truth``, uint8 RGB (H, W, 3) each."""
    error, count = np.zeros(2), np.zeros(2)
    for picture, day, moving in zip(pictures, truth, foreground, strict=True):
        squared = ((picture.astype(np.float64) - day) ** 2).mean(axis=2)
        for i, part in enumerate((moving & keep, ~moving & keep)):
            error[i] += squared[part].sum()
            count[i] += part.sum()
    pairs = ((error.sum(), count.sum()), *zip(error, count, strict=True))
    return Psnr(*(decibel(e / n) if n else float("nan") for e, n in pairs))


def decibel(squared_error: float) -> float:
    """A mean squared error of grey levels as PSNR, dB; at most ``IDENTICAL``."""
    least = 255**2 / 10 ** (IDENTICAL / 10)
    return float(10 * np.log10(255**2 / max(squared_error, least)))


class Scorer:
    """Scores pictures of one test set. What does not depend on the method is computed once.

    Args:
        test: the nights and what to compare with.
        features: the space in which distributions are compared.
        rounds: of the bootstrap behind the intervals.
    """

    def __init__(self, test: HeldOut, features: FeatureMap, *, rounds: int = 20) -> None:
        self.test, self.features, self.rounds = test, features, rounds
        self.foreground = test.foreground()
        self._whole = features.places(test.keep)
        self._moving = [features.places(mask, MOVING) for mask in self.foreground]
        real = [features(picture) for picture in test.real]
        self._real = [f[self._whole] for f in real]
        # Without truth: wherever something moves in any night. Weather and sun change the rest of a day so much
        # that its difference to x_ref says nothing of what moves.
        anywhere = features.places(np.any(self.foreground, axis=0), MOVING)
        self._white = whitening(np.concatenate(self._real))
        there = [anywhere] * len(real) if test.truth is None else self._moving
        self._real_moving = [f[at] for f, at in zip(real, there, strict=True)]
        self._truth = None if test.truth is None else real
        self.floor = self._floor()

    def _floor(self) -> dict[str, float]:
        if not self.test.floor:
            return {}
        days = np.concatenate([self.features(day)[self._whole] for day in self.test.floor])
        real, rng = np.concatenate(self._real), np.random.default_rng(0)
        return {
            "frechet": frechet_distance(days, real),
            "frechet_white": frechet_distance(days @ self._white, real @ self._white),
            "kernel": kernel_distance(some(days, rng), some(real, rng)),
        }

    def brief(self, pictures: Sequence[Image]) -> dict[str, float]:
        """The Fréchet distances and, with truth, PSNR: enough to follow the course of a run."""
        maps = [self.features(picture) for picture in pictures]
        whole = np.concatenate([m[self._whole] for m in maps])
        moving = np.concatenate([m[at] for m, at in zip(maps, self._moving, strict=True)])
        return {
            "frechet": frechet_distance(whole, np.concatenate(self._real)),
            "frechet_foreground": frechet_distance(moving, np.concatenate(self._real_moving)),
            **self._psnr(pictures),
        }

    def full(self, pictures: Sequence[Image]) -> dict[str, Any]:
        """Every score that the test set allows, by name; distances as value, low, high of their 95 % interval.

        ``frechet``, ``frechet_white`` (after ``whitening``), ``kernel`` and the same with ``_foreground``;
        ``to_x_ref`` and ``to_x_ref_night``, PSNR where nothing moves, of the pictures and of the nights. With truth
        ``psnr``, ``psnr_foreground``, ``psnr_background``, ``ssim``, ``ssim_foreground``, ``feature_distance``. Of
        video ``warped_error`` and ``background_std``, and the nights' own as ``_night``, in grey levels.
        """
        test = self.test
        maps = [self.features(picture) for picture in pictures]
        rng = np.random.default_rng(0)

        def kernel(a: Features, b: Features) -> float:
            return kernel_distance(some(a, rng), some(b, rng))

        def white(a: Features, b: Features) -> float:
            return frechet_distance(a @ self._white, b @ self._white)

        scores: dict[str, Any] = {}
        parts = (
            ("", [m[self._whole] for m in maps], self._real),
            ("_foreground", [m[at] for m, at in zip(maps, self._moving, strict=True)], self._real_moving),
        )
        for suffix, made, real in parts:
            for name, distance in (
                ("frechet", frechet_distance),
                ("frechet_white", white),
                ("kernel", kernel),
            ):
                scores[name + suffix] = asdict(bootstrap(distance, made, real, rng, rounds=self.rounds))
        reference = [test.background] * len(pictures)
        scores["to_x_ref"] = psnr(pictures, reference, self.foreground, test.keep).background
        scores["to_x_ref_night"] = psnr(test.nights, reference, self.foreground, test.keep).background
        scores |= self._psnr(pictures)
        if test.truth is not None and self._truth is not None:
            pairs = list(zip(pictures, test.truth, self.foreground, strict=True))
            moving = [(p, t, mask) for p, t, mask in pairs if mask.any()]
            scores["ssim"] = float(np.mean([ssim(p, t, test.keep) for p, t, _ in pairs]))
            scores["ssim_foreground"] = (
                float(np.mean([ssim(*each) for each in moving])) if moving else float("nan")
            )
            distances = [feature_distance(m, t, self._whole) for m, t in zip(maps, self._truth, strict=True)]
            scores["feature_distance"] = float(np.mean(distances))
        if test.video and len(pictures) > 1:
            still = test.keep & ~np.any(self.foreground, axis=0)
            made_error, own_error = warped_error(test.nights, pictures, test.keep)
            scores |= {
                "warped_error": made_error,
                "warped_error_night": own_error,
                "background_std": background_std(pictures, still),
                "background_std_night": background_std(test.nights, still),
            }
        return scores

    def _psnr(self, pictures: Sequence[Image]) -> dict[str, float]:
        if self.test.truth is None:
            return {}
        found = psnr(pictures, self.test.truth, self.foreground, self.test.keep)
        return {"psnr": found.whole, "psnr_foreground": found.foreground, "psnr_background": found.background}
