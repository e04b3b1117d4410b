"""Nights brightened without a model: brighter, true to colour and order, no noise blown up, nothing made up."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.pipeline.translation.brighten import MOST, NOISE_SHOWN, Brightener

Pixels = NDArray[np.uint8]


def night(rng: np.random.Generator, *, level: float = 24.0, noise: float = 0.8) -> Pixels:
    """A dark scene of soft shapes with a lamp in it."""
    soft = cv2.resize(rng.uniform(0.2, 1.8, (9, 11, 3)).astype(np.float32), (176, 144)) * level
    soft[30:36, 40:46] = 250
    return np.asarray(np.clip(np.rint(soft + rng.normal(0, noise, soft.shape)), 0, 255), np.uint8)


def test_a_dark_picture_comes_out_bright_and_its_lamp_stays(rng: np.random.Generator) -> None:
    dark = night(rng)
    shown = np.asarray(Brightener()(dark))
    assert dark is not shown
    assert 55 < np.median(shown) < 130 > np.median(dark) * 2
    assert shown[31:35, 41:45].min() >= 240
    # What is brighter of two places stays so, and grey levels keep their ratios where nothing is lit.
    one, two = (cv2.GaussianBlur(picture, (0, 0), 4)[60:].ravel() for picture in (dark, shown))
    assert np.corrcoef(one.astype(float), two)[0, 1] > 0.85


def test_colours_stay(rng: np.random.Generator) -> None:
    dark = np.full((96, 128, 3), (30, 20, 10), np.uint8)
    shown = np.asarray(Brightener()(dark)).astype(float)
    np.testing.assert_allclose(shown[..., 0] / shown[..., 1], 1.5, rtol=0.05)
    np.testing.assert_allclose(shown[..., 1] / shown[..., 2], 2.0, rtol=0.08)


@pytest.mark.parametrize("noise", [2.0, 4.0])
def test_noise_is_kept_in_bounds(rng: np.random.Generator, noise: float) -> None:
    flat = np.clip(np.rint(rng.normal(15, noise, (144, 176, 3))), 0, 255).astype(np.uint8)
    shown = np.asarray(Brightener()(flat)).astype(float)
    assert shown.std() < 1.3 * NOISE_SHOWN
    assert shown.mean() <= MOST * flat.mean() + 1


def test_a_bright_picture_stays_as_it_is(rng: np.random.Generator) -> None:
    lit = night(rng, level=130.0)
    np.testing.assert_array_equal(Brightener()(lit), lit)


def test_headlights_do_not_make_it_pump(rng: np.random.Generator) -> None:
    brighten = Brightener()
    dark = night(rng, noise=0.0)
    for _ in range(5):
        before = np.asarray(brighten(dark)).astype(float)
    glare = dark.copy()
    glare[100:, 60:150] = 255
    shown = np.asarray(brighten(glare)).astype(float)
    assert abs(shown[:60].mean() / before[:60].mean() - 1) < 0.1


def test_tensors_are_brightened_where_they_lie_and_alike(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = night(rng)
    tensor: Any = Brightener()(torch.from_numpy(dark))
    assert isinstance(tensor, torch.Tensor)
    expected = np.asarray(Brightener()(dark)).astype(int)
    assert np.abs(tensor.numpy().astype(int) - expected).mean() < 1


@pytest.mark.parametrize("size", [(16, 16), (17, 300), (300, 17)])
@pytest.mark.parametrize("level", [0, 255])
def test_any_size_and_level(size: tuple[int, int], level: int) -> None:
    picture = np.full((*size, 3), level, np.uint8)
    np.testing.assert_array_equal(Brightener()(picture), picture)
