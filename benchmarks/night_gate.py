"""``python -m benchmarks.night_gate``: what the night gate says of real stills, and of pictures made of them.

Nothing is known of the cameras: neither their place nor their own day. Two days of each camera are made into
infra-red scenes, nights under lamps, and days in fog, in snow and at dusk; see ``night_pictures``. A picture counts
as right, wrong, or open, where the gate is in doubt or between its thresholds.
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

from benchmarks.night_pictures import Floats, Rgb, made
from nightday.pipeline.scene.light import Light, measure
from nightday.pipeline.scene.night_gate import BRIGHT, NightGate

RESULT = Path(__file__).parent / "results" / "night_gate.json"
# Seconds that the gate sees each picture.
SECONDS = 45


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


if __name__ == "__main__":
    raise SystemExit(main())
