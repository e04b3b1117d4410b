"""One method's pictures of one scene to scores."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.study.scenes import StudyScene
from train.data import Image
from train.metrics import (
    FeatureMap,
    background_std,
    bootstrap,
    feature_distance,
    frechet_distance,
    kernel_distance,
    some,
    ssim,
    warped_error,
)

Points = NDArray[np.float32]


class Scorer:
    """Scores pictures of ``scene``; what does not depend on the method is computed once.

    Args:
        scene: with its test nights.
        features: where distributions are compared.
        rounds: of the bootstrap.
    """

    def __init__(self, scene: StudyScene, features: FeatureMap, *, rounds: int = 30) -> None:
        self.scene, self.features, self.rounds = scene, features, rounds
        self.foreground = scene.foreground()
        self._whole = features.places(scene.keep)
        self._moving = [features.places(mask, 0.25) for mask in self.foreground]
        real = [features(picture) for picture in scene.real]
        self._real = [f[self._whole] for f in real]
        self._real_moving = [f[features.places(mask, 0.25)]
                             for f, mask in zip(real, scene.real_foreground(), strict=True)]  # fmt: skip
        self._truth = real if scene.truth is not None else None
        # The floor: what two sets of real days differ by.
        days = scene.train.day[:: max(1, len(scene.train.day) // max(1, len(scene.real)))]
        floor = [features(day)[self._whole] for day in days]
        self.floor = {
            "frechet": frechet_distance(np.concatenate(floor), np.concatenate(self._real)),
            "kernel": kernel_distance(
                *(some(np.concatenate(x), np.random.default_rng(0)) for x in (floor, self._real))
            ),
        }

    def brief(self, pictures: list[Image]) -> dict[str, float]:
        """The Fréchet distances and, with truth, PSNR: enough to see a run's course."""
        maps = [self.features(picture) for picture in pictures]
        scores = {
            "frechet": frechet_distance(
                np.concatenate([m[self._whole] for m in maps]), np.concatenate(self._real)
            ),
            "frechet_foreground": frechet_distance(
                np.concatenate([m[at] for m, at in zip(maps, self._moving, strict=True)]),
                np.concatenate(self._real_moving),
            ),
        }
        return scores | self._psnr(pictures)

    def full(self, pictures: list[Image]) -> dict[str, Any]:
        """Every score; distances with their 95 % intervals."""
        maps = [self.features(picture) for picture in pictures]
        whole = [m[self._whole] for m in maps]
        moving = [m[at] for m, at in zip(maps, self._moving, strict=True)]
        rng = np.random.default_rng(0)

        def kernel(a: Points, b: Points) -> float:
            return kernel_distance(some(a, rng), some(b, rng))

        def distances(a: list[Points], b: list[Points], suffix: str) -> dict[str, Any]:
            return {
                f"frechet{suffix}": asdict(bootstrap(frechet_distance, a, b, rng, rounds=self.rounds)),
                f"kernel{suffix}": asdict(bootstrap(kernel, a, b, rng, rounds=self.rounds)),
            }

        scores: dict[str, Any] = distances(whole, self._real, "")
        scores |= distances(moving, self._real_moving, "_foreground")
        scores |= self._psnr(pictures) | self._background(pictures)
        if self.scene.truth is not None and self._truth is not None:
            pairs = list(zip(pictures, self.scene.truth, strict=True))
            scores["ssim"] = float(np.mean([ssim(p, t, self.scene.keep) for p, t in pairs]))
            scores["ssim_foreground"] = float(np.mean(
                [ssim(p, t, mask) for (p, t), mask in zip(pairs, self.foreground, strict=True) if mask.any()]
            ))  # fmt: skip
            scores["feature_distance"] = float(np.mean(
                [feature_distance(m, t, self._whole) for m, t in zip(maps, self._truth, strict=True)]
            ))  # fmt: skip
            made, own = warped_error(self.scene.night, pictures, self.scene.keep)
            still = self.scene.keep & ~np.any(self.foreground, axis=0)
            scores |= {
                "warped_error": made,
                "warped_error_night": own,
                "background_std": background_std(pictures, still),
                "background_std_night": background_std(self.scene.night, still),
            }
        return scores

    def _psnr(self, pictures: list[Image]) -> dict[str, float]:
        """To the truth, where there is one: whole frame, foreground and background, dB."""
        if self.scene.truth is None:
            return {}
        total, count = np.zeros(2), np.zeros(2)
        for picture, day, mask in zip(pictures, self.scene.truth, self.foreground, strict=True):
            squared = ((picture.astype(np.float64) - day) ** 2).mean(axis=2)
            for i, part in enumerate((mask, ~mask & self.scene.keep)):
                total[i] += squared[part].sum()
                count[i] += part.sum()

        def db(error: float, n: float) -> float:
            return float(10 * np.log10(255**2 / max(error / max(n, 1), 1e-12)))

        return {"psnr": db(total.sum(), count.sum()), "psnr_foreground": db(total[0], count[0]),
                "psnr_background": db(total[1], count[1])}  # fmt: skip

    def _background(self, pictures: list[Image]) -> dict[str, float]:
        """PSNR to x_ref where nothing moves, of the pictures and of the nights: how far the night is gone."""
        x_ref = self.scene.train.background.astype(np.float64)
        sums, count = np.zeros(2), 0
        for picture, night, mask in zip(pictures, self.scene.night, self.foreground, strict=True):
            still = self.scene.keep & ~mask
            for i, image in enumerate((picture, night)):
                sums[i] += ((image - x_ref) ** 2).mean(axis=2)[still].sum()
            count += int(still.sum())
        made, own = (float(10 * np.log10(255**2 / max(s / max(count, 1), 1e-12))) for s in sums)
        return {"to_x_ref": made, "to_x_ref_night": own}
