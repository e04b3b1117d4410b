"""Evidence: dark things count, noise, light and haze do not; and what can be pasted for nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.train.footage.evidence import (
    LEAST_NIGHTS,
    MOST_GAIN,
    Noise,
    estimate_noise,
    evidence,
    luma,
    night_background,
    relit,
    relit_paste,
    strong,
    things,
)
from nightday.train.footage.scene import Image

SHAPE = (160, 200)
WALKER = np.s_[90:110, 60:70]


def road(low: float = 12, high: float = 150) -> NDArray[np.float64]:
    """A night's background without noise: dark on the left, lit on the right, with marks on the ground."""
    levels = np.tile(np.linspace(low, high, SHAPE[1]), (SHAPE[0], 1))
    levels[:, ::25] *= 1.3
    return levels


def taken(levels: NDArray[np.float64], rng: np.random.Generator, *, read: float, shot: float) -> Image:
    """A grey picture with the sensor's noise, the same in the three channels so that luma has it, too."""
    noisy = levels + rng.normal(size=SHAPE) * np.sqrt(read**2 + shot * levels)
    return np.repeat(np.rint(noisy.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def test_luma_is_that_of_bt_601(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for y, x in np.ndindex(5, 7):
        r, g, b = (int(v) for v in picture[y, x])
        assert luma(picture)[y, x] == pytest.approx(0.299 * r + 0.587 * g + 0.114 * b, abs=1e-3)


@pytest.mark.parametrize(("read", "shot"), [(2.0, 0.0), (1.5, 0.15), (4.0, 0.05)])
def test_the_noise_is_that_of_the_sensor(rng: np.random.Generator, read: float, shot: float) -> None:
    """Although a sixth of the picture is another thing and the light has changed."""
    n_ref = taken(road(), rng, read=0, shot=0)
    tonight = road() * np.linspace(1.0, 1.25, SHAPE[0])[:, None]
    tonight[40:80, 40:120] = 90
    found = estimate_noise(taken(tonight, rng, read=read, shot=shot), n_ref)
    for level in (20.0, 120.0):
        there = float(np.sqrt(read**2 + shot * level))
        assert float(found.at(np.array([[level]], np.float32))[0, 0]) == pytest.approx(
            there, rel=0.25, abs=0.3
        )


def test_a_picture_without_noise_has_that_of_rounding() -> None:
    flat = np.full((*SHAPE, 3), 40, np.uint8)
    assert estimate_noise(flat, flat) == Noise(1.0, 0.0)
    assert not strong(evidence(flat, flat)).any()


def test_a_dark_walker_counts_and_noise_does_not(rng: np.random.Generator) -> None:
    """Eighteen levels, far below any threshold for lamps, on a road where noise has a deviation of 2."""
    levels = road(low=30, high=60)
    n_ref = taken(levels, rng, read=0, shot=0)
    empty = strong(evidence(taken(levels, rng, read=2, shot=0), n_ref))
    assert empty.mean() < 0.001
    levels[WALKER] -= 18
    found = things(taken(levels, rng, read=2, shot=0), n_ref)
    assert found[WALKER].mean() > 0.6
    found[85:115, 55:75] = False
    assert found.mean() < 0.001


def test_more_noise_makes_the_same_difference_less_sure(rng: np.random.Generator) -> None:
    levels = road(low=60, high=60)
    n_ref = taken(levels, rng, read=0, shot=0)
    levels[WALKER] += 20
    sure = [np.median(evidence(taken(levels, rng, read=read, shot=0), n_ref)[WALKER]) for read in (2, 4, 8)]
    assert sure[0] == pytest.approx(10, rel=0.2)
    assert sure[1] == pytest.approx(5, rel=0.2)
    assert sure[0] > sure[1] > sure[2]


def test_another_exposure_is_nothing_new(rng: np.random.Generator) -> None:
    n_ref = taken(road(high=110), rng, read=0, shot=0)
    for gain in (0.7, 1.3):
        night = taken(road(high=110) * gain, rng, read=2, shot=0)
        assert strong(evidence(night, n_ref)).mean() < 0.02


def test_haze_is_evidence_but_no_thing(rng: np.random.Generator) -> None:
    levels = road(low=30, high=60)
    n_ref = taken(levels, rng, read=0, shot=0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    levels += 60 * np.exp(-((y - 80) ** 2 + (x - 100) ** 2) / (2 * 15**2))
    night = taken(levels, rng, read=2, shot=0)
    assert strong(evidence(night, n_ref)).sum() > 500
    assert things(night, n_ref).mean() < 0.002


def test_relit_is_the_night_by_the_ratio_of_the_backgrounds() -> None:
    """Where both backgrounds are flat the blurs change nothing, and the ratio is a number."""
    x_ref, n_ref = (
        np.full((40, 60, 3), (120, 130, 140), np.uint8),
        np.full((40, 60, 3), (20, 30, 10), np.uint8),
    )
    night = n_ref.copy()
    night[10:20, 10:20] = (40, 15, 5)
    made = relit(night, x_ref, n_ref)
    for channel, (day, dark) in enumerate(zip((120, 130, 140), (20, 30, 10), strict=True)):
        ratio = min((day + 2) / (dark + 2), MOST_GAIN)
        for y, x in ((0, 0), (15, 15)):
            expected = min(255.0, float(night[y, x, channel]) * ratio)
            assert made[y, x, channel] == pytest.approx(expected, abs=1)


def test_the_relit_paste_is_x_ref_with_what_is_new(rng: np.random.Generator) -> None:
    day = np.repeat((road(low=110, high=170)).astype(np.uint8)[..., None], 3, axis=2)
    levels = road(low=30, high=60)
    n_ref = taken(levels, rng, read=0, shot=0)
    assert (relit_paste(n_ref, day, n_ref) == day).all()
    levels[WALKER] -= 20
    made = relit_paste(taken(levels, rng, read=2, shot=0), day, n_ref).astype(int)
    assert (day[WALKER].astype(int) - made[WALKER]).mean() > 25
    made[85:115, 55:75] = day[85:115, 55:75]
    assert np.abs(made - day).mean() < 0.2


def test_what_wavers_everywhere_is_no_evidence_and_a_thing_before_it_is(rng: np.random.Generator) -> None:
    n_ref = taken(road(60, 140), rng, read=0, shot=0)
    leaves = cv2.resize(rng.normal(0, 12, (40, 50)), SHAPE[::-1], interpolation=cv2.INTER_CUBIC)
    night = taken(road(60, 140) + leaves, rng, read=0.5, shot=0)
    assert estimate_noise(night, n_ref).read < 4  # which is blind to it
    assert strong(evidence(night, n_ref)).mean() < 0.02
    night[WALKER] = 0
    assert strong(evidence(night, n_ref))[WALKER].mean() > 0.6


def test_few_nights_have_no_background() -> None:
    nights = [np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30, 40, 200)]
    assert night_background(nights[: LEAST_NIGHTS - 1]) is None
    made = night_background(nights)
    assert made is not None
    assert (made == 30).all()
