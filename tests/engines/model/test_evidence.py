"""Evidence: what differs from the night background is there; light, exposure and noise are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines.model.evidence import Evidence, evidence

Picture = NDArray[np.float64]
HEIGHT, WIDTH = 96, 128


@pytest.fixture
def day(rng: np.random.Generator) -> Picture:
    """A scene with edges, [0, 1]."""
    picture = np.full((HEIGHT, WIDTH, 3), 0.5)
    for _ in range(25):
        y, x = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
        picture[y : y + rng.integers(5, 40), x : x + rng.integers(5, 40)] = rng.uniform(0.2, 0.8, 3)
    return picture


def light(rng: np.random.Generator, low: float, high: float) -> Picture:
    """A smooth light over the picture, (H, W, 1)."""
    nodes = rng.uniform(low, high, (3, 4))
    return np.asarray(cv2.resize(nodes, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR))[..., None]


def noisy(rng: np.random.Generator, picture: Picture, read: float, shot: float) -> Picture:
    spread = np.sqrt(read**2 + shot * picture.mean(axis=2, keepdims=True))
    return np.asarray(np.clip(picture + rng.normal(size=picture.shape) * spread, 0, 1))


def tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float()


def found(night: Picture, day: Picture, empty: Picture) -> Evidence:
    return evidence(tensor(night), tensor(day), tensor(empty))


@pytest.mark.parametrize("noise", [(0.004, 0.0), (0.02, 0.0), (0.005, 0.002)])
def test_noise_of_any_strength_is_about_one_and_a_dark_body_is_many(
    rng: np.random.Generator, day: Picture, noise: tuple[float, float]
) -> None:
    empty = day * light(rng, 0.25, 0.5)
    night = noisy(rng, empty, *noise)
    strength = found(night, day, empty).strength[0, 0].numpy()
    assert 0.6 < np.sqrt(np.mean(strength**2)) < 1.4
    body = night.copy()
    body[44:60, 56:68] *= 0.2  # a walker, dark on dark
    seen = found(body, day, empty)
    inside = np.median(seen.strength[0, 0, 46:58, 58:66].numpy())
    usual = np.median(np.delete(seen.strength[0, 0].numpy(), np.s_[30:80], axis=0))
    assert inside > 2
    assert inside > 2.5 * usual
    assert seen.near[0, 0, 11:15, 14:17].min() > 0.5


def test_a_thing_of_another_colour_and_the_same_brightness_is_evidence(
    rng: np.random.Generator, day: Picture
) -> None:
    empty = day * 0.5
    night = noisy(rng, empty, 0.01, 0.0)
    grey = (night[44:60, 56:68] * (0.299, 0.587, 0.114)).sum(axis=2, keepdims=True)
    night[44:60, 56:68] = grey + np.array([0.587, -0.299, 0.0]) * 0.25  # of no luma
    strength = found(night, day, empty).strength[0, 0].numpy()
    assert np.median(strength[46:58, 58:66]) > 2 * np.median(strength[:30])


def test_another_exposure_and_slow_light_are_no_evidence(rng: np.random.Generator, day: Picture) -> None:
    empty = day * light(rng, 0.3, 0.5)
    night = noisy(rng, empty * 1.4 * light(rng, 0.9, 1.1), 0.01, 0.0)
    seen = found(night, day, empty)
    plain = np.abs(night - empty).mean() / 0.01
    assert plain > 5  # it does differ
    assert seen.strength.mean() < 0.25 * plain
    assert seen.strength.median() < 2


def test_the_relit_night_of_an_empty_scene_is_its_day(rng: np.random.Generator, day: Picture) -> None:
    lamps = light(rng, 0.2, 0.6) * np.array([1.0, 0.7, 0.4])
    empty = day * lamps
    relit = found(empty, day, empty).relit[0].permute(1, 2, 0).numpy()
    assert np.abs(relit - day).mean() < 0.3 * np.abs(empty - day).mean()
    thing = day.copy()
    thing[40:60, 50:90] = (0.8, 0.2, 0.3)
    shown = found(thing * lamps, day, empty).relit[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(shown[44:56, 55:85].mean(axis=(0, 1)), (0.8, 0.2, 0.3), rtol=0.2, atol=0.06)


def test_places_without_light_are_dark(rng: np.random.Generator, day: Picture) -> None:
    empty = day * 0.5
    empty[:, : WIDTH // 2] *= 0.01
    dark = found(noisy(rng, empty, 0.004, 0.0), day, empty).dark[0, 0]
    columns = dark.shape[1]
    assert dark[:, : columns // 2 - 2].min() > 0.9
    assert dark[:, columns // 2 + 2 :].max() < 0.1


@pytest.mark.parametrize("sign", [-1, 1])
def test_what_noise_hides_in_each_pixel_is_seen_in_many(
    rng: np.random.Generator, day: Picture, sign: int
) -> None:
    empty, spread = day * 0.4, 0.06
    empty = empty.clip(0.2, None)  # so that noise of either sign is seen
    alone = found(noisy(rng, empty, spread, 0.0), day, empty)
    assert float((alone.near > 0).float().mean()) < 0.12  # a square or two of 768, and what is near them
    body = empty.copy()
    body[40:60, 50:70] += sign * 0.6 * spread
    seen = found(noisy(rng, body, spread, 0.0), day, empty)
    assert float(seen.strength[0, 0, 42:58, 52:68].median()) < 2
    assert float((seen.near[0, 0, 11:14, 14:16] > 0).float().mean()) > 0.8
    assert float((seen.near[0, 0, :4] > 0).float().mean()) < 0.4


def test_the_noise_is_that_of_the_empty_road_where_vehicles_fill_a_third_of_the_picture(
    rng: np.random.Generator, day: Picture
) -> None:
    empty = day * 0.4
    night = empty.copy()
    night[::2, : WIDTH // 3] = 0.6
    night[40:, : WIDTH // 3] += 0.2
    night = noisy(rng, night, 0.01, 0.0)
    night[30:46, 100:116] -= 0.05
    near = found(night, day, empty).near[0, 0]
    assert float(near[9:10, 27:28].min()) > 0.5
