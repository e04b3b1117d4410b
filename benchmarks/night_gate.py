"""``python -m benchmarks.night_gate``: what the night gate says of real stills, and of pictures made of them.

Nothing is known of the cameras: neither their place nor their own day. Made are, of two days of each camera:
infra-red scenes with lettering, logos, lamps and casts, and days in fog, in snow and at dusk. A picture counts as
right, wrong, or open, where the gate is in doubt or between its thresholds.
"""

from __future__ import annotations

import argparse
import csv
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.pipeline.scene.light import Light, measure
from nightday.pipeline.scene.night_gate import BRIGHT, NightGate

RESULT = Path(__file__).parent / "results" / "night_gate.json"
# Seconds that the gate sees each picture.
SECONDS = 45
LETTERS = {"white": (255, 255, 255), "yellow": (255, 255, 0), "green": (0, 255, 0), "red": (255, 0, 0)}
# Casts by their gains of red, green and blue beyond 1, in shares of their strength.
CASTS = {
    "violet": (1.0, -0.3, 0.6),
    "red": (1.0, 0.0, -0.5),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "warm": (0.6, 0.2, -1.0),
}
Rgb = NDArray[np.uint8]
Floats = NDArray[np.float32]


def main() -> int:
    """Measure, print a table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.night_gate", description=__doc__)
    parser.add_argument("--footage", type=Path, required=True)
    args = parser.parse_args()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, wanted, light in _all(args.footage):
        counts[name][verdict(light, wanted)] += 1
    table = {name: {key: one[key] for key in ("right", "wrong", "open")} for name, one in counts.items()}
    for name, row in table.items():
        print(f"{name:<60} {row['right']:5} {row['wrong']:5} {row['open']:5}")
    RESULT.write_text(json.dumps({"date": str(date.today()), "pictures": table}, indent=1) + "\n")
    return 0


def verdict(light: Light, wanted: str) -> str:
    """What the gate says of a picture that it sees for ``SECONDS``: right, wrong or open."""
    gate = NightGate()
    for second in range(SECONDS):
        gate.update(light, now=second)
    said = None if gate.doubt else gate.sure
    return "open" if said is None else "right" if said == wanted else "wrong"


def _all(footage: Path) -> Iterator[tuple[str, str, Light]]:
    """Kind, what is right, and light of each picture."""
    days: dict[str, list[Path]] = defaultdict(list)
    for path, label in stills(footage):
        picture = read(path)
        light = light_of(picture)
        if label == "day":
            days[str(path.parent)].append(path)
            yield "real days", "day", light
        else:
            lit = light.luma > BRIGHT
            yield ("real nights lit like day" if lit else "real nights, dark"), "night", light
    for of_camera in days.values():
        for path in of_camera[:: max(1, len(of_camera) // 2)][:2]:
            rng = np.random.default_rng(zlib.crc32(path.name.encode()))
            for name, wanted, changed in made(read(path), rng):
                light = light_of(jpeg(changed, rng))
                if wanted == "night" or light.luma > BRIGHT:
                    yield name, wanted, light


def stills(footage: Path) -> list[tuple[Path, str]]:
    """All stills by day and by night."""
    with (footage / "manifest.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["label"] in ("day", "night")]
    return [(footage / row["path"], row["label"]) for row in rows if row["path"].endswith(".jpg")]


def read(path: Path) -> Rgb:
    """A still, (H, W, 3) RGB."""
    stored = np.asarray(cv2.imread(str(path)), np.uint8)
    return np.ascontiguousarray(stored[..., ::-1])


def light_of(picture: Rgb) -> Light:
    """Its light, as of a frame of a decoder."""
    high, wide = (side // 2 * 2 for side in picture.shape[:2])
    video = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:high, :wide]), format="rgb24")
    return measure(video.reformat(format="yuv420p"))


def jpeg(picture: Floats | Rgb, rng: np.random.Generator) -> Rgb:
    """As a camera sends it."""
    sent = cv2.imencode(
        ".jpg",
        np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8)[..., ::-1]),
        [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))],
    )[1]
    got = np.asarray(cv2.imdecode(sent, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(got[..., ::-1])


def made(day: Rgb, rng: np.random.Generator) -> Iterator[tuple[str, str, Floats]]:
    """Kind, what is right, and picture of what is made of a day."""
    night = infrared(day, rng)
    yield "infra-red", "night", night
    for name, colour in LETTERS.items():
        yield f"infra-red, {name} lettering", "night", lettered(night, colour)
    for share in (0.02, 0.08, 0.15):
        yield f"infra-red, a logo of {share:.0%}", "night", with_logo(night, share, rng)
    yield "infra-red, coloured lamps", "night", with_lamps(night, rng)
    for strength in (0.05, 0.1, 0.15, 0.2):
        for gains in CASTS.values():
            yield f"infra-red, a cast of {strength:.0%}", "night", night * _gains(gains, strength)
    cast = night * _gains(CASTS["violet"], 0.15)
    everything = lettered(with_logo(with_lamps(cast, rng), 0.08, rng), LETTERS["yellow"])
    yield "infra-red, a cast, lamps, a logo and lettering at once", "night", everything
    for clear in (0.6, 0.4, 0.25):
        yield f"day in fog, {clear:.0%} of the contrast left", "day", in_fog(day, clear, rng)
    yield "day in snow", "day", in_snow(day)
    yield "day at dusk", "day", np.asarray(day * np.array([0.8, 0.82, 0.95]), np.float32)


def _gains(gains: tuple[float, float, float], strength: float) -> Floats:
    return np.asarray(1 + strength * np.array(gains), np.float32)


def infrared(day: Rgb, rng: np.random.Generator) -> Floats:
    """The scene by an infra-red lamp: grey, brightest in the middle, with noise; mean luma 98 to 150."""
    grey = cv2.cvtColor(day, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = grey.shape
    y, x = np.mgrid[:height, :width]
    lamp = np.exp(-(((x / width - 0.5) / 0.45) ** 2) - ((y / height - 0.6) / 0.5) ** 2)
    lit = grey * (0.35 + 0.9 * lamp)
    lit = lit * (rng.uniform(98, 150) / lit.mean()) + rng.normal(0, 3, grey.shape)
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


if __name__ == "__main__":
    raise SystemExit(main())
