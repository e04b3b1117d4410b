"""n_ref as a camera would have learnt it: like its night, never quite it, and never made of the night itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nightday.train.footage import night_background
from nightday.train.footage.night_conditions import TEST_NIGHT, random_conditions
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image


@pytest.fixture
def day(rng: np.random.Generator) -> Image:
    blocks = rng.integers(60, 220, (8, 10, 3)).repeat(12, 0).repeat(12, 1)
    return np.asarray(blocks, np.uint8)


def test_it_has_less_noise_than_its_night_and_mostly_the_same_lamps(rng: np.random.Generator) -> None:
    same = 0
    for _ in range(60):
        now = random_conditions(rng)
        was = night_background.aged(rng, now)
        assert was.photons > now.photons
        assert was.read_noise < now.read_noise
        assert was.ambient == now.ambient
        assert was.glare == now.glare
        assert 0 <= was.jpeg_quality <= 95
        assert (was.jpeg_quality == 0) == (now.jpeg_quality == 0)
        same += was.lamps == now.lamps
    assert 15 < same < 60


def test_it_is_nearer_to_an_empty_night_than_to_the_day(rng: np.random.Generator, day: Image) -> None:
    night = NightSimulator(TEST_NIGHT, day.shape[:2], rng)(day)
    made = np.mean([night_background.simulated(rng, TEST_NIGHT, day, None) for _ in range(9)], axis=0)
    assert np.abs(made - night).mean() < 0.25 * np.abs(made - day).mean()


def test_ghosts_of_what_passed_are_sometimes_left_and_weaker_than_it(
    rng: np.random.Generator, day: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = replace(TEST_NIGHT, lamps=(), headlights=0.0, ambient=0.5, photons=1e9, read_noise=0.0)
    monkeypatch.setattr(night_background, "aged", lambda _rng, now: now)
    mask = np.zeros(day.shape[:2], bool)
    mask[30:70, 40:90] = True
    passed = day.copy()
    passed[mask] = 250
    empty, full = (NightSimulator(steady, day.shape[:2], rng)(each) for each in (day, passed))
    inside = np.s_[42:58, 52:78]
    apart = float(np.abs(full[inside].astype(int) - empty[inside]).mean())
    ghosts = [
        float(np.abs(made[inside].astype(int) - empty[inside]).mean())
        for made in (night_background.simulated(rng, steady, day, (passed, mask)) for _ in range(80))
    ]
    seen = [ghost for ghost in ghosts if ghost > 0.05 * apart]
    assert 4 <= len(seen) <= 35  # a fifth
    assert all(ghost < 0.9 * apart for ghost in seen)


def test_that_of_real_nights_is_a_median_of_the_others(rng: np.random.Generator) -> None:
    nights = [np.full((4, 5, 3), level, np.uint8) for level in (20, 22, 24, 200)]
    for _ in range(20):
        assert 20 <= night_background.of_others(rng, nights, 3).max() <= 24
    np.testing.assert_array_equal(night_background.of_others(rng, nights[:1], 0), nights[0])
