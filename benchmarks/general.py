"""``python -m benchmarks.general``: one model from many cameras, which serves any camera with its own backgrounds.

It learns on the TfL clips that may be published, by day, at their own size and at half of it, and on the days and
real nights of LTA's stills of 2021. What it learns is to tell what belongs to neither background, and to draw that by
day. Some cameras are left out, so that it meets them as strangers. Boxes of vehicles are not looked at.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.study.scenes import scaled
from nightday.engines.model.checkpoint import read_checkpoint, save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack_with_backgrounds
from nightday.engines.model.settings import LIGHT
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.night_conditions import random_conditions
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, Scene, read_frames, temporal_median
from nightday.train.run.settings import TrainSettings, default_settings
from nightday.train.run.trainer import Trainer

# Never trained on by what ships: the study's clips with a truth, five cameras of LTA's 2021 stills with few and with
# many days, and the two of them that the older stills (lta/2701, lta/2702) show as well.
LEFT_OUT = {
    "tfl_09731_a1_barnet",
    "tfl_07450_piccadilly_circus",
    "tfl_03507_tooley",
    "lta2021_1002",
    "lta2021_1504",
    "lta2021_2704",
    "lta2021_3702",
    "lta2021_9704",
    "lta2021_2701",
    "lta2021_2702",
}
HEIGHTS = (288, 144)  # the clips' own, and half of it: to a generator, farther away
GENERAL = Path(__file__).parents[1] / "weights" / "general.pt"
FOLDERS = ("day_video", "tfl_annotated")
STILLS = "lta2021_"


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


def stills(footage: Path, *, left_out: set[str] = LEFT_OUT) -> list[Scene]:
    """LTA's cameras of 2021 with their days and nights to learn from, in the order of their names."""
    pictures: dict[str, dict[str, list[Image]]] = {}
    with (footage / "manifest.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            wanted = row["scene"].startswith(STILLS) and row["scene"] not in left_out
            if wanted and row["split"] == "train" and row["label"] in ("day", "night"):
                read = np.asarray(cv2.imread(str(footage / row["path"])), np.uint8)
                picture = np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)
                pictures.setdefault(row["scene"], {"day": [], "night": []})[row["label"]].append(picture)
    found = []
    for name, labelled in sorted(pictures.items()):
        shape = labelled["day"][0].shape
        day, night = ([p for p in labelled[label] if p.shape == shape] for label in ("day", "night"))
        found.append(Scene(name, day, night, temporal_median(day)))
    return found


def learned(footage: Path) -> tuple[list[Scene], Scene, list[Scene]]:
    """All that is learned: the clips as cameras, those of each height together; the first camera; and all others."""
    paths = list(clips(footage))
    clip_cameras = [camera for height in HEIGHTS for camera in cameras(paths, height=height)]
    first, *others = [*stills(footage), *clip_cameras]
    return clip_cameras, first, others


def settings_of(steps: int, others: int) -> TrainSettings:
    """Those of a run of so many steps with so many cameras beside the first."""
    return replace(
        default_settings("blend"),
        generator=LIGHT,
        pairs=4,
        batch=2,
        crop=(128, 176),
        steps=steps,
        others_share=others / (others + 1),
        seed=11,
        save_every=250,
        sample_every=1000,
        learning_rate=7e-4,
    )


def widened(old: dict[str, Tensor], model: NightToDay) -> NightToDay:
    """``model``, of a light one with backgrounds, with the weights of a model that holds x_ref and blends it in.

    What the old one saw stands first (the night, relit now, and the invariant) and last (x_ref); what is new in
    between counts nothing at first. Of what it draws, the picture and its mask stand first.
    """
    state = model.state_dict()
    for name, value in state.items():
        before = old[name]
        if before.shape == value.shape:
            state[name] = before
        elif name.endswith("to_half.0.weight"):
            state[name] = torch.zeros_like(value)
            state[name][:, :17], state[name][:, -12:] = before[:, :17], before[:, -12:]
        else:
            state[name] = torch.zeros_like(value)
            state[name][: len(before)] = before
    model.load_state_dict(state)
    return model


def qualification(scenes: Sequence[Scene]) -> tuple[list[Image], list[tuple[Image, Image]]]:
    """A simulated night of each clip, and its backgrounds, for engines to be qualified on."""
    rng = np.random.default_rng(7)
    nights, backgrounds = [], []
    for scene in scenes:
        day = scene.day[len(scene.day) // 2]
        simulate = NightSimulator(random_conditions(rng), day.shape[:2], rng)
        nights.append(simulate(day, foreground_mask(day, scene.background)))
        backgrounds.append((scene.background, simulate(scene.background)))
    return nights, backgrounds


def main() -> int:
    """Train, going on where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.general", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--footage", type=Path, required=True)
    add("--out", type=Path, default=Path("runs/general"))
    add("--steps", type=int, default=4800)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--widen", type=Path, help="version 0.1.0's general.pt, whose weights to begin with")
    start.add_argument(
        "--start", type=Path, help="a general.pt with backgrounds, whose weights to begin with"
    )
    add("--learning-rate", type=float, default=7e-4)
    add("--pairs", type=int, default=4, help="simulated nights of a step")
    add("--seed", type=int, default=11)
    add("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    clip_cameras, first, others = learned(args.footage)
    settings = replace(
        settings_of(args.steps, len(others)),
        learning_rate=args.learning_rate,
        pairs=args.pairs,
        seed=args.seed,
    )
    trainer = Trainer(first, settings, args.out, others=others)
    if not trainer.resume():
        if args.widen is not None:
            widened(read_checkpoint(args.widen)["state"], trainer.model)
        elif args.start is not None:
            trainer.model.load_state_dict(read_checkpoint(args.start)["state"])
    trainer.run(lambda step, terms: logging.info("%d %s", step, terms) if step % 50 == 0 else None)
    frames, packed = pack_with_backgrounds(*qualification(clip_cameras[: len(clip_cameras) // len(HEIGHTS)]))
    card = {name: value for name, value in trainer.card().items() if name != "settings"}
    save_checkpoint(
        args.out / "general.pt",
        trainer.model,
        training=card | {"scene": "general", "side": HEIGHTS[0]},
        qualification_frames=frames,
        qualification_backgrounds=packed,
    )
    print(args.out / "general.pt")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
