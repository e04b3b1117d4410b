"""What a simulated night is like: its lamps, lens and camera. Two fixed nights, and nights drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Linear RGB of a black body at the lamp's temperature, scaled to G = 1 (Planck's law at 600, 550, 450 nm).
LAMP_COLOURS = {
    "sodium": (1.90, 1.0, 0.12),
    "tungsten": (1.55, 1.0, 0.42),
    "warm_led": (1.30, 1.0, 0.62),
    "cool_led": (1.00, 1.0, 1.05),
}


@dataclass(frozen=True, slots=True)
class Lamp:
    """A street lamp. Lengths are shares of the picture's height.

    Attributes:
        x, y: where the lamp is, shares of width and height; its pool of light lies below it.
        drop: from the lamp down to the middle of its pool.
        reach: radius of the pool.
        power: light in the middle of the pool; a day is 1.
        glow: brightness of the lamp itself, in white levels.
        colour: linear RGB, G = 1.
        radius: of the lamp itself.
    """

    x: float
    y: float
    drop: float
    reach: float
    power: float
    glow: float
    colour: tuple[float, float, float]
    radius: float = 0.008


@dataclass(frozen=True, slots=True)
class Panel:
    """An upright rectangle: a wall that a floodlight falls on, or a window or sign that shines by itself.

    Attributes:
        x, y: its middle, shares of width and height.
        width, height: shares of the picture's height.
        power: of the light that falls on it, or of its own, in days or white levels.
        colour: linear RGB, G = 1.
        softness: of its border, share of its height; 0 is sharp.
    """

    x: float
    y: float
    width: float
    height: float
    power: float
    colour: tuple[float, float, float]
    softness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NightConditions:
    """One night at one camera: everything but the noise, which changes from frame to frame.

    Attributes:
        ambient: light of the sky as a share of the day's.
        ambient_colour: linear RGB of that light.
        lamps: street lamps.
        floodlit: what is lit from near by.
        windows: what shines by itself.
        wet: share of all lamps' and vehicles' light that ground or water below mirrors, drawn out downwards.
        wet_length: how far down, share of the height, until a third is left.
        glare: (radius as a share of the height, share of the light) of each Gaussian of the lens's spread.
        streak: share of the light that a smeared lens draws out into a line.
        streak_length: standard deviation of that line, share of the height.
        streak_angle: its direction, degrees; 0 is along x.
        headlights: brightness of a vehicle's front lights, in white levels; 0 for none.
        oncoming_side: vehicles beyond this share of the width show front lights if positive, those before it
            if negative (-0.4: left of 0.4); the others show tail lights.
        exposure: gain between the lit scene and white.
        photons: photons at white; fewer are noisier.
        read_noise: standard deviation, share of white.
        white_balance: gains of R and B.
        gamma: exponent on top of the sRGB curve; above 1 crushes the dark.
        saturation: colour kept by the camera in the dark, 0 to 1.
        jpeg_quality: of the compression, 1 to 100; 0 for none.
    """

    ambient: float
    ambient_colour: tuple[float, float, float] = (0.8, 0.95, 1.25)
    lamps: tuple[Lamp, ...] = ()
    floodlit: tuple[Panel, ...] = ()
    windows: tuple[Panel, ...] = ()
    wet: float = 0.0
    wet_length: float = 0.1
    glare: tuple[tuple[float, float], ...] = ((0.01, 0.05), (0.04, 0.02))
    streak: float = 0.0
    streak_length: float = 0.1
    streak_angle: float = 0.0
    headlights: float = 4.0
    oncoming_side: float = 0.5
    exposure: float = 1.0
    photons: float = 600.0
    read_noise: float = 0.008
    white_balance: tuple[float, float] = (1.0, 1.0)
    gamma: float = 1.0
    saturation: float = 1.0
    jpeg_quality: int = 0


def random_conditions(rng: np.random.Generator) -> NightConditions:
    """A night drawn at random for training. The ranges are wide enough to include most cameras' nights."""
    colours = list(LAMP_COLOURS.values())
    lamps = tuple(
        Lamp(
            x=rng.uniform(-0.1, 1.1),
            y=rng.uniform(-0.1, 0.7),
            drop=rng.uniform(0.05, 0.4),
            reach=rng.uniform(0.1, 0.5),
            power=float(np.exp(rng.uniform(math.log(0.01), math.log(0.35)))),
            glow=float(np.exp(rng.uniform(math.log(0.5), math.log(12.0)))),
            colour=colours[rng.integers(len(colours))],
            radius=float(np.exp(rng.uniform(math.log(0.004), math.log(0.03)))),
        )
        for _ in range(rng.integers(0, 9))
    )

    def panels(
        most: int, size: tuple[float, float], power: tuple[float, float], softness: float
    ) -> tuple[Panel, ...]:
        low, high = (math.log(end) for end in power)
        return tuple(
            Panel(
                x=rng.uniform(0, 1),
                y=rng.uniform(0, 1),
                width=rng.uniform(*size),
                height=rng.uniform(*size),
                power=float(np.exp(rng.uniform(low, high))),
                colour=colours[rng.integers(len(colours))],
                softness=softness * rng.uniform(0, 1) ** 2,
            )
            for _ in range(rng.integers(1, most + 1))
        )

    return NightConditions(
        ambient=float(np.exp(rng.uniform(math.log(0.006), math.log(0.12)))),
        ambient_colour=(rng.uniform(0.7, 1.2), 1.0, rng.uniform(0.7, 1.4)),
        lamps=lamps,
        floodlit=panels(4, (0.1, 0.7), (0.05, 1.5), 0.5) if rng.random() < 0.3 else (),
        windows=panels(12, (0.01, 0.06), (0.1, 3.0), 0.0) if rng.random() < 0.3 else (),
        wet=float(rng.uniform(0.0, 0.3)) if rng.random() < 0.25 else 0.0,
        wet_length=float(rng.uniform(0.02, 0.2)),
        glare=(
            (rng.uniform(0.004, 0.015), rng.uniform(0.0, 0.15)),
            (rng.uniform(0.02, 0.12), rng.uniform(0.0, 0.06)),
        ),
        streak=float(rng.uniform(0.0, 0.08)) if rng.random() < 0.3 else 0.0,
        streak_length=float(rng.uniform(0.03, 0.2)),
        streak_angle=float(rng.uniform(-90, 90)),
        headlights=float(rng.uniform(0.0, 8.0)) if rng.random() < 0.8 else 0.0,
        oncoming_side=float(rng.uniform(0.2, 0.8) * rng.choice((-1, 1))),
        exposure=float(np.exp(rng.uniform(math.log(0.6), math.log(3.0)))),
        photons=float(np.exp(rng.uniform(math.log(100), math.log(3000)))),
        read_noise=float(rng.uniform(0.001, 0.02)),
        white_balance=(rng.uniform(0.75, 1.3), rng.uniform(0.75, 1.3)),
        gamma=float(rng.uniform(0.85, 1.25)),
        saturation=float(rng.uniform(0.5, 1.0)),
        jpeg_quality=int(rng.integers(15, 90)) if rng.random() < 0.6 else 0,
    )


# Two fixed nights. A demo scene's unpaired night pictures come from TRAIN_NIGHT; scores are taken under TEST_NIGHT,
# whose lamps, lens and sensor are different. No random night has a third, far-reaching glare as TEST_NIGHT does.
TRAIN_NIGHT = NightConditions(
    ambient=0.02,
    lamps=(
        Lamp(0.18, 0.25, 0.30, 0.30, 0.12, 6.0, LAMP_COLOURS["sodium"]),
        Lamp(0.62, 0.20, 0.35, 0.25, 0.10, 6.0, LAMP_COLOURS["sodium"]),
        Lamp(0.90, 0.35, 0.30, 0.25, 0.08, 4.0, LAMP_COLOURS["warm_led"]),
    ),
    glare=((0.008, 0.08), (0.05, 0.03)),
    headlights=4.0,
    oncoming_side=0.45,
    exposure=1.4,
    photons=500.0,
    read_noise=0.006,
    white_balance=(0.95, 1.1),
)
TEST_NIGHT = NightConditions(
    ambient=0.02,
    ambient_colour=(0.9, 0.95, 1.1),
    lamps=(
        Lamp(0.08, 0.30, 0.35, 0.28, 0.10, 9.0, LAMP_COLOURS["warm_led"]),
        Lamp(0.36, 0.12, 0.30, 0.18, 0.07, 5.0, LAMP_COLOURS["cool_led"]),
        Lamp(0.55, 0.10, 0.25, 0.15, 0.06, 5.0, LAMP_COLOURS["warm_led"]),
        Lamp(0.97, 0.20, 0.50, 0.35, 0.09, 9.0, LAMP_COLOURS["warm_led"]),
    ),
    glare=((0.006, 0.06), (0.03, 0.03), (0.15, 0.03)),
    streak=0.03,
    streak_length=0.12,
    headlights=6.0,
    oncoming_side=0.4,
    exposure=1.3,
    photons=900.0,
    read_noise=0.009,
    white_balance=(1.12, 0.88),
    gamma=1.06,
    saturation=0.8,
)

FIXED_NIGHTS = {"train": TRAIN_NIGHT, "test": TEST_NIGHT}
