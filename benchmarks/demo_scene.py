"""The demo scene: one TfL day clip split by time into unpaired night and day, and a fifth never trained on.

    python -m benchmarks.demo_scene runs/demo

writes three folders. a1_barnet/ is for ``nightday-train --scene``: night/, the first 30 % of the clip under
TRAIN_NIGHT, and day/, 30 % to 80 %. The others are for ``nightday-eval --pairs``: a1_barnet_validation/ is the same
night/ with its truth, which training never sees, to choose by; a1_barnet_held_out/ is the last 20 %, under
TEST_NIGHT, with its truth. All hold the same background.png, the median of the day part alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightday.train.footage.night_conditions import TEST_NIGHT, TRAIN_NIGHT
from nightday.train.footage.night_simulator import darken
from nightday.train.footage.scene import read_frames, temporal_median, write_picture

CLIP = Path(__file__).parent / "clips" / "day_tfl_09731_a1_barnet.mp4"
NIGHT_UNTIL, DAY_UNTIL = 0.3, 0.8
TRAIN_SEED, TEST_SEED = 1, 2

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DemoScene:
    """uint8 RGB (H, W, 3) each. Nights are the darkened truth beside them, picture by picture."""

    night: list[Image]
    night_truth: list[Image]
    day: list[Image]
    background: Image
    test_night: list[Image]
    test_day: list[Image]


def split(clip: Path = CLIP) -> DemoScene:
    """Split a day clip by time, never shuffled. x_ref is the median of the day part alone."""
    frames = read_frames(clip)
    a, b = (round(share * len(frames)) for share in (NIGHT_UNTIL, DAY_UNTIL))
    background = temporal_median(frames[a:b])
    night = list(darken(frames[:a], background, TRAIN_NIGHT, np.random.default_rng(TRAIN_SEED)))
    test_night = list(darken(frames[b:], background, TEST_NIGHT, np.random.default_rng(TEST_SEED)))
    return DemoScene(night, frames[:a], frames[a:b], background, test_night, frames[b:])


def main(argv: list[str] | None = None) -> int:
    """Write the scene and its held-out pairs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_scene")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args(argv)
    scene = split()
    for part, night, day in (
        ("a1_barnet", scene.night, scene.day),
        ("a1_barnet_validation", scene.night, scene.night_truth),
        ("a1_barnet_held_out", scene.test_night, scene.test_day),
    ):
        folder = args.folder / part
        for name, images in (("night", night), ("day", day)):
            for i, image in enumerate(images):
                write_picture(folder / name / f"{i:04d}.png", image)
        write_picture(folder / "background.png", scene.background)
        print(f"{folder}: {len(night)} night and {len(day)} day pictures, background.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
