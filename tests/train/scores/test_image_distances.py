"""The study's distances against SciPy, naive loops and cases whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.linalg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from nightday.train.scores.image_distances import (
    FeatureMap,
    background_std,
    bootstrap,
    feature_distance,
    frechet_distance,
    kernel_distance,
    ssim,
    warped_error,
    whitening,
)


def points(rng: np.random.Generator, n: int, shift: float = 0.0) -> NDArray[np.float32]:
    return (rng.normal(shift, 1, (n, 12)) @ rng.normal(0, 1, (12, 12))).astype(np.float32)


@pytest.mark.parametrize("counts", [(300, 200), (9, 200), (9, 7)])
def test_frechet_is_that_of_two_gaussians(rng: np.random.Generator, counts: tuple[int, int]) -> None:
    """Of many points, and of fewer than there are directions."""
    a, b = points(rng, counts[0]), points(rng, counts[1], 0.5)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    want = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-3)


def test_frechet_of_fewer_points_than_dimensions_is_finite(rng: np.random.Generator) -> None:
    assert np.isfinite(frechet_distance(points(rng, 5), points(rng, 7)))
    assert np.isnan(frechet_distance(points(rng, 1), points(rng, 7)))


def test_whitening_gives_every_direction_unit_variance(rng: np.random.Generator) -> None:
    real = points(rng, 4000)
    white = np.cov(real @ whitening(real, shrinkage=0), rowvar=False)
    np.testing.assert_allclose(white, np.eye(12), atol=0.02)
    # With shrinkage, directions of no variance stay of none.
    flat = real.copy()
    flat[:, 3] = 1
    assert np.isfinite(flat @ whitening(flat)).all()


def test_kernel_distance_is_the_unbiased_estimate(rng: np.random.Generator) -> None:
    a, b = points(rng, 9), points(rng, 7, 1.0)

    def k(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
        return float((np.dot(x.astype(float), y.astype(float)) / 12 + 1) ** 3)

    within = [
        np.mean([k(p[i], p[j]) for i in range(len(p)) for j in range(len(p)) if i != j]) for p in (a, b)
    ]
    want = sum(within) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(want, rel=1e-6)


def test_kernel_distance_of_one_distribution_is_around_zero(rng: np.random.Generator) -> None:
    mix = rng.normal(0, 1, (12, 12)) / 4
    draws = []
    for _ in range(40):
        a, b = ((rng.normal(0, 1, (60, 12)) @ mix).astype(np.float64) for _ in range(2))
        draws.append(kernel_distance(a, b))  # type: ignore[arg-type]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(len(draws))
    assert min(draws) < 0 < max(draws)


def test_the_interval_holds_the_estimate_and_narrows_with_pictures(rng: np.random.Generator) -> None:
    def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(np.abs(a.mean() - b.mean()))

    def width(count: int) -> float:
        a, b = ([rng.normal(shift, 1, (4, 2)).astype(np.float32) for _ in range(count)] for shift in (0, 3))
        found = bootstrap(distance, a, b, rng, rounds=200)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    # A quarter. Five pictures tell their own spread badly, so it is the mean of several fives.
    few, many = (np.mean([width(count) for _ in range(10)]) for count in (5, 80))
    assert many < 0.6 * few


def test_places_are_where_the_mask_is() -> None:
    mask = np.zeros((48, 70), bool)
    mask[8:16, 16:24] = mask[24:28, 0:8] = True
    whole, half = FeatureMap().places(mask, 0.9), FeatureMap().places(mask, 0.5)
    assert whole.shape == (6, 8)
    assert np.argwhere(whole).tolist() == [[1, 2]]
    assert np.argwhere(half).tolist() == [[1, 2], [3, 0]]


def test_features_lie_on_the_places(rng: np.random.Generator) -> None:
    """A change in one corner moves the features there and nowhere far away."""
    features = FeatureMap()
    picture = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    changed = picture.copy()
    changed[:8, :8] = 255 - changed[:8, :8]
    moved = np.abs(features(picture) - features(changed)).max(axis=2)
    assert moved.shape == (8, 12)
    assert moved[0, 0] > 0
    assert moved[5:, 8:].max() == 0
    keep = np.ones((8, 12), bool)
    assert feature_distance(features(picture), features(picture), keep) == 0
    assert 0 < feature_distance(features(picture), features(changed), keep) <= 4


def test_ssim_is_wangs(rng: np.random.Generator) -> None:
    """At one pixel, against the formula with an 11×11 Gaussian window (Wang et al., 2004)."""
    a = cv2.GaussianBlur(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), (0, 0), 1)
    b = np.clip(a * 0.8 + rng.normal(0, 10, a.shape), 0, 255).astype(np.uint8)
    at = np.zeros((40, 40), bool)
    at[20, 17] = True
    window = np.outer(*[np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)] * 2)
    window = (window / window.sum())[..., None]
    x, y = (image[15:26, 12:23].astype(float) for image in (a, b))
    mx, my = (window * x).sum((0, 1)), (window * y).sum((0, 1))
    vx, vy = (window * x**2).sum((0, 1)) - mx**2, (window * y**2).sum((0, 1)) - my**2
    vxy = (window * x * y).sum((0, 1)) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    want = ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
    assert ssim(a, b, at) == pytest.approx(want, abs=1e-4)


def test_a_pan_has_no_warped_error_and_flicker_has(rng: np.random.Generator) -> None:
    texture = cv2.GaussianBlur(rng.integers(0, 256, (80, 140, 3), dtype=np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    nights = [np.ascontiguousarray(texture[:, 2 * t : 2 * t + 100]) for t in range(6)]
    keep = np.zeros((80, 100), bool)
    keep[8:-8, 8:-8] = True
    steady, own = warped_error(nights, nights, keep)
    assert steady == own < 6
    flicker = [
        np.clip(n.astype(int) + (20 if t % 2 else -20), 0, 255).astype(np.uint8) for t, n in enumerate(nights)
    ]
    assert 25 < warped_error(nights, flicker, keep)[0] < 45


def test_background_std_is_numpys_over_still_pixels(rng: np.random.Generator) -> None:
    pictures = [rng.integers(0, 256, (10, 12, 3), dtype=np.uint8) for _ in range(7)]
    still = rng.random((10, 12)) < 0.5
    want = np.sqrt(np.stack(pictures).astype(float).var(axis=0)[still].mean())
    assert background_std(pictures, still) == pytest.approx(want, rel=1e-5)
