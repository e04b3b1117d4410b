"""Pictures made of real days whose time of day is known: infra-red scenes, nights under lamps, weather.

Pictures are (H, W, 3) RGB, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float32]
Colour = tuple[float, float, float]

LETTERS = {"white": (255, 255, 255), "yellow": (255, 255, 0), "green": (0, 255, 0), "red": (255, 0, 0)}
# Casts by their gains of red, green and blue beyond 1, in shares of their strength.
CASTS: dict[str, Colour] = {
    "violet": (1.0, -0.3, 0.6),
    "red": (1.0, 0.0, -0.5),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "warm": (0.6, 0.2, -1.0),
}
# The light of a high-pressure sodium lamp as cameras show it, by how much of it their white balance takes away.
SODIUM: dict[str, Colour] = {"none": (1.0, 0.62, 0.18), "half": (1.0, 0.8, 0.5)}
COLD_LED: Colour = (0.86, 1.0, 1.15)
WARM: Colour = (1.0, 0.86, 0.62)
# Mean luma of a picture that a camera has exposed well.
EXPOSED = (98.0, 150.0)


def made(day: Rgb, rng: np.random.Generator) -> Iterator[tuple[str, str, Floats]]:
    """Kind, what is right, and picture of what is made of a day."""
    night = infrared(day, rng)
    for kind, picture in _infrared_kinds(night, rng):
        yield kind, "night", picture
    for kind, picture in _lit_kinds(day, night, rng):
        yield kind, "night", picture
    for clear in (0.6, 0.4, 0.25):
        yield f"day in fog, {clear:.0%} of the contrast left", "day", in_fog(day, clear, rng)
    yield "day in snow", "day", in_snow(day)
    yield "day at dusk", "day", np.asarray(day * np.array([0.8, 0.82, 0.95]), np.float32)


def _infrared_kinds(night: Floats, rng: np.random.Generator) -> Iterator[tuple[str, Floats]]:
    yield "infra-red", night
    for name, colour in LETTERS.items():
        yield f"infra-red, {name} lettering", lettered(night, colour)
    for share in (0.02, 0.08, 0.15):
        yield f"infra-red, a logo of {share:.0%}", with_logo(night, share, rng)
    yield "infra-red, coloured lamps", with_lamps(night, rng)
    for strength in (0.05, 0.1, 0.15, 0.2):
        for gains in CASTS.values():
            yield f"infra-red, a cast of {strength:.0%}", night * _gains(gains, strength)
    cast = night * _gains(CASTS["violet"], 0.15)
    everything = lettered(with_logo(with_lamps(cast, rng), 0.08, rng), LETTERS["yellow"])
    yield "infra-red, a cast, lamps, a logo and lettering at once", everything
    across, down, out = _places(night)
    for strength in (0.03, 0.06, 0.1):
        for axis, place in (("left to right", across), ("top to bottom", down), ("middle to corners", out)):
            for name in ("violet", "warm", "green"):
                yield (
                    f"infra-red, a tint of {strength:.0%} {axis}",
                    _tinted(night, CASTS[name], strength, place),
                )


def _lit_kinds(day: Rgb, night: Floats, rng: np.random.Generator) -> Iterator[tuple[str, Floats]]:
    across, _, _ = _places(day)
    third = _step(across, -1 / 3)
    yield "infra-red, a third of it lit blue", night * _mixed(third, (0.6, 0.8, 1.6), (1, 1, 1))
    yield "infra-red, a third of it lit by sodium", night * _mixed(third, SODIUM["half"], (1, 1, 1))
    for balanced, colour in SODIUM.items():
        for clear, sky in (("dark", True), ("bright", False)):
            lit = faded(day, 0.1) * pools(day, rng, dark_top=sky)
            yield f"night under sodium, balanced: {balanced}, {clear} sky", exposed(lit * colour, rng)
    half = _step(across, float(rng.uniform(-0.4, 0.4)))
    lit = faded(day, 0.5) * pools(day, rng, dark_top=False) * _mixed(half, SODIUM["half"], COLD_LED)
    yield "night under two kinds of lamps", exposed(lit, rng)
    moonlit = faded(day, 0.5) * np.array([0.88, 1.0, 1.15], np.float32)
    yield "moonlit night in colour", noisy(exposed(moonlit, rng, low=70, high=125), 7, rng)
    yield "indoors under lamps", exposed(indoors(day, rng), rng)


def _gains(gains: Colour, strength: float) -> Floats:
    return np.asarray(1 + strength * np.array(gains), np.float32)


def _places(picture: Floats | Rgb) -> tuple[Floats, Floats, Floats]:
    """Where a pixel lies across and down, -1 to 1, and how far out, -1 in the middle to 1 in the corners."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return x, y, np.asarray(x**2 + y**2 - 1, np.float32)


def _tinted(picture: Floats, gains: Colour, strength: float, place: Floats) -> Floats:
    return np.asarray(picture * (1 + strength * place[..., None] * np.array(gains, np.float32)), np.float32)


def _step(place: Floats, at: float) -> Floats:
    """1 before ``at``, 0 behind it, with a soft edge."""
    return np.asarray(1 / (1 + np.exp((place - at) / 0.06)), np.float32)


def _mixed(share: Floats, one: Colour, other: Colour) -> Floats:
    return np.asarray(share[..., None] * np.array(one) + (1 - share[..., None]) * np.array(other), np.float32)


def faded(picture: Rgb, kept: float) -> Floats:
    """With a share of its colour kept, as under lamps that show little of it."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    return np.asarray(grey + kept * (picture - grey), np.float32)


def pools(picture: Rgb, rng: np.random.Generator, *, dark_top: bool) -> Floats:
    """The light of four street lamps on the ground, (H, W, 1), and of their glow."""
    x, y, _ = _places(picture)
    light = np.full(x.shape, 0.3, np.float32)
    for _ in range(4):
        place = rng.uniform(-0.9, 0.9), rng.uniform(-0.2 if dark_top else -0.9, 0.9)
        light += 0.7 * np.exp(-(((x - place[0]) / 0.5) ** 2) - ((y - place[1]) / 0.4) ** 2)
    if dark_top:
        light *= 1 - 0.85 * _step(y, -1 / 3)
    return np.asarray(light[..., None], np.float32)


def exposed(picture: Floats, rng: np.random.Generator, *, low: float = 98, high: float = 150) -> Floats:
    """At a mean luma between these, and with some noise."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    wanted, gain = rng.uniform(low, high), 1.0
    # What is cut off at white is missing from the mean.
    for _ in range(8):
        gain *= wanted / float((np.clip(picture * gain, 0, 255) @ weights).mean())
    return noisy(np.asarray(picture * gain, np.float32), 3, rng)


def noisy(picture: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """With noise of its own in each colour."""
    return np.asarray(picture + rng.normal(0, sigma, picture.shape), np.float32)


def indoors(day: Rgb, rng: np.random.Generator) -> Floats:
    """Under two warm lamps at the ceiling, with a window into the night."""
    x, y, _ = _places(day)
    light = np.full(x.shape, 0.35, np.float32)
    for place in rng.uniform(-0.8, 0.8, 2):
        light += 0.8 * np.exp(-(((x - place) / 0.6) ** 2) - ((y + 0.7) / 0.9) ** 2)
    room = faded(day, 0.8) * light[..., None] * np.array(WARM, np.float32)
    height, width = day.shape[:2]
    top, left = int(rng.uniform(0.05, 0.3) * height), int(rng.uniform(0.05, 0.6) * width)
    room[top : top + height // 3, left : left + width // 4] *= 0.05
    return np.asarray(room, np.float32)


def infrared(day: Rgb, rng: np.random.Generator) -> Floats:
    """The scene by an infra-red lamp: grey, brightest in the middle, with noise; mean luma 98 to 150."""
    grey = cv2.cvtColor(day, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = grey.shape
    y, x = np.mgrid[:height, :width]
    lamp = np.exp(-(((x / width - 0.5) / 0.45) ** 2) - ((y / height - 0.6) / 0.5) ** 2)
    lit = grey * (0.35 + 0.9 * lamp)
    lit = lit * (rng.uniform(*EXPOSED) / lit.mean()) + rng.normal(0, 3, grey.shape)
    return np.asarray(np.repeat(np.clip(lit, 0, 255)[..., None], 3, axis=2), np.float32)


def lettered(picture: Floats, colour: tuple[int, int, int]) -> Floats:
    """With a time and a name, as cameras burn them in."""
    written = np.clip(picture, 0, 255).astype(np.uint8)
    size = picture.shape[1] / 600
    lines = (("2026-01-17 WED 02:13:44", (8, int(30 * size))), ("CAMERA 04", (8, picture.shape[0] - 12)))
    for text, place in lines:
        cv2.putText(written, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, max(1, round(2 * size)))
    return np.asarray(written, np.float32)


def with_logo(picture: Floats, share: float, rng: np.random.Generator) -> Floats:
    """With a coloured rectangle that takes a share of the picture."""
    shown: Floats = picture.copy()
    height, width = picture.shape[:2]
    high, wide = int(height * share**0.5), int(width * share**0.5)
    top, left = int(rng.integers(0, height - high)), int(rng.integers(0, width - wide))
    shown[top : top + high, left : left + wide] = rng.permutation([20, 90, 220])
    return shown


def with_lamps(picture: Floats, rng: np.random.Generator) -> Floats:
    """With three coloured lamps and their glow."""
    lit: Floats = picture.copy()
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    for colour in ((255, 120, 40), (40, 40, 255), (60, 220, 60)):
        row, column = rng.uniform(0.1, 0.9) * height, rng.uniform(0.1, 0.9) * width
        glow = np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * (width / 40) ** 2))
        lit += (glow[..., None] * np.array(colour)).astype(np.float32)
    return lit


def in_fog(day: Rgb, clear: float, rng: np.random.Generator) -> Floats:
    """With so much of its contrast left at the bottom, and half of that at the top."""
    through = np.linspace(clear / 2, clear, len(day), dtype=np.float32)[:, None, None]
    return np.asarray(day * through + 203 * (1 - through) + rng.normal(0, 1.5, day.shape), np.float32)


def in_snow(day: Rgb) -> Floats:
    """With snow on everything below the upper third, which is a little blue."""
    snow = day.astype(np.float32)
    rows = len(day) // 3
    snow[rows:] = 0.25 * snow[rows:] + 0.75 * np.array([176, 178, 184], np.float32)
    return snow
