"""The background by night, n_ref, that a camera would have learnt: beside a simulated night, or of real nights.

It shows the scene under the same lamps, and is never quite the night: exposure drifts, lamps are switched, the ground
dries, and a median of few pictures keeps noise and the ghosts of what passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .linear_light import linear_to_srgb8, srgb_to_linear
from .night_conditions import NightConditions, random_conditions
from .night_simulator import NightSimulator
from .scene import Image

# Pictures that n_ref is the median of.
FEWEST, MOST = 3, 60
# Shares of the cases in which something is not as it was.
SWITCHED, WET, EXPOSURE_JUMP, GHOST = 0.25, 0.1, 0.15, 0.2


def aged(rng: np.random.Generator, now: NightConditions) -> NightConditions:
    """The conditions under which n_ref was made, if the night is ``now``."""
    averaged = float(np.exp(rng.uniform(np.log(FEWEST), np.log(MOST))))
    spread = 0.4 if rng.random() < EXPOSURE_JUMP else 0.06
    lamps, windows, floodlit = now.lamps, now.windows, now.floodlit
    if rng.random() < SWITCHED:
        keep = rng.random() < 0.5
        lamps = tuple(lamp for lamp in lamps if rng.random() < 0.7)
        windows = tuple(window for window in windows if rng.random() < 0.7)
        floodlit = floodlit if keep else ()
    if rng.random() < SWITCHED:
        other = random_conditions(rng)
        lamps += other.lamps[: rng.integers(3)]
        windows += other.windows[: rng.integers(6)]
    quality = now.jpeg_quality and min(95, now.jpeg_quality + round(10 * np.log2(averaged)))
    return replace(
        now,
        lamps=lamps,
        windows=windows,
        floodlit=floodlit,
        wet=float(rng.uniform(0, 0.3)) if rng.random() < WET else now.wet,
        exposure=now.exposure * float(np.exp(rng.normal(0, spread))),
        photons=now.photons * averaged,
        read_noise=now.read_noise / averaged**0.5,
        jpeg_quality=quality,
    )


def simulated(
    rng: np.random.Generator,
    now: NightConditions,
    background: Image,
    passed: tuple[Image, NDArray[np.bool_]] | None,
) -> Image:
    """n_ref for a night of conditions ``now``.

    Args:
        rng: source of all that differs.
        now: of the night.
        background: x_ref in the light of the night, uint8 RGB (H, W, 3).
        passed: a day picture in the same light and where something moves in it, of which a ghost may be left.
    """
    simulate = NightSimulator(aged(rng, now), background.shape[:2], rng)
    empty = simulate(background)
    if passed is None or rng.random() >= GHOST:
        return empty
    ghost = rng.uniform(0.15, 0.7) * cv2.GaussianBlur(passed[1].astype(np.float32), (0, 0), 2.0)[..., None]
    mixed = srgb_to_linear(empty) * (1 - ghost) + srgb_to_linear(simulate(*passed)) * ghost
    return linear_to_srgb8(mixed)


def of_others(rng: np.random.Generator, nights: Sequence[Image], number: int) -> Image:
    """The median of some of the nights other than ``number``, as a camera that has seen these would have."""
    others = [i for i in range(len(nights)) if i != number] or [number]
    count = int(rng.integers(min(FEWEST, len(others)), min(len(others), 15) + 1))
    picked = rng.choice(others, size=count, replace=False)
    return np.asarray(np.rint(np.median([nights[i] for i in picked], axis=0)), np.uint8)
