"""``python -m benchmarks.general``: one model from many cameras' days, for other cameras to start from.

It learns on the TfL clips that may be published, at their own size and at half of it, each with its own x_ref as an
input; what it learns is to tell what does not belong to x_ref, and to draw that by day. The cameras of the study's
scenes with a truth, and the clip that detection is judged on, are left out, so that it meets them as strangers.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.study.scenes import scaled
from nightday.engines.model.settings import LIGHT
from nightday.train.footage.scene import Scene, read_frames, temporal_median
from nightday.train.run.settings import default_settings
from nightday.train.run.trainer import Trainer

# Never trained on by what ships: the study's clips with a truth, five cameras of LTA's 2021 stills with few and with
# many days, and the two of them that the older stills (lta/2701, lta/2702) show as well.
LEFT_OUT = {
    "tfl_09731_a1_barnet",
    "tfl_07450_piccadilly_circus",
    "tfl_03507_tooley",
    "lta2021_1001",
    "lta2021_1502",
    "lta2021_1504",
    "lta2021_2704",
    "lta2021_9704",
    "lta2021_2701",
    "lta2021_2702",
}
HEIGHTS = (288, 144)  # the clips' own, and half of it: to a generator, farther away
GENERAL = Path(__file__).parents[1] / "weights" / "general.pt"
FOLDERS = ("day_video", "tfl_annotated")


def clips(footage: Path, *, left_out: set[str] = LEFT_OUT) -> Iterator[Path]:
    """The clips by day to learn from, in the manifest's order."""
    with (footage / "manifest.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            path = Path(row["path"])
            if path.parts[0] in FOLDERS and row["split"] == "train" and row["scene"] not in left_out:
                yield footage / path


def cameras(paths: list[Path], *, height: int) -> list[Scene]:
    """Each clip as a camera of that height."""
    found = []
    for path in paths:
        frames = [scaled(frame, frame.shape[:2], height) for frame in read_frames(path)]
        width = frames[0].shape[1]
        found.append(Scene(f"{path.stem} {width}×{height}", frames, [], temporal_median(frames)))
    return found


def main() -> int:
    """Train, going on where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.general", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--footage", type=Path, required=True)
    add("--out", type=Path, default=Path("runs/general"))
    add("--steps", type=int, default=12000)
    add("--pairs", type=int, default=4, help="a step")
    add(
        "--detector", help="vehicles.pt of benchmarks.train_vehicles, whose feature maps are compared as well"
    )
    add("--start-from", help="a model to go on from, at half the rate")
    add("--threads", type=int, default=1)
    add("--mixed", action=argparse.BooleanOptionalAction, default=False)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    paths = list(clips(args.footage))
    first, *others = [
        camera for pair in zip(*(cameras(paths, height=h) for h in HEIGHTS), strict=True) for camera in pair
    ]
    settings = replace(
        default_settings("blend"),
        generator=LIGHT,
        still_weight=0.0,
        detector=args.detector,
        detector_weight=2.0 if args.detector else 0.0,
        pairs=args.pairs,
        batch=1,
        crop=(128, 176),
        steps=args.steps,
        others_share=len(others) / (len(others) + 1),
        mixed=args.mixed,
        seed=11,
        save_every=250,
        sample_every=1000,
        start_from=args.start_from,
        learning_rate=5e-4 if args.start_from else None,
    )
    trainer = Trainer(first, settings, args.out, others=others)
    trainer.resume()
    trainer.run(lambda step, terms: logging.info("%d %s", step, terms) if step % 50 == 0 else None)
    print(args.out / "model.pt")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
