"""``python -m benchmarks.train_speed``: seconds a training step, DiCo beside CUT and CycleGAN in one run.

CUT twice: on the networks that all methods of the study share, and on those its authors published, anti-aliased.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Literal

import torch

from benchmarks.study.methods import METHODS, SIZES, Budget, Learner, Size
from benchmarks.study.published_cut import PublishedCut
from benchmarks.study.run import hardware
from nightday.train.footage.scene import Scene, read_frames, temporal_median

CLIPS = Path(__file__).parent / "clips"
COMPARED = ("dico", "cut", "cyclegan", "own")
PUBLISHED = "published cut"


def measure(
    *,
    size: Size = "paper",
    crop: int = 256,
    steps: int = 5,
    device: Literal["cpu", "cuda"] = "cpu",
    mixed: bool = False,
    methods: Sequence[str] = COMPARED,
) -> dict[str, list[float]]:
    """Seconds of each of ``steps`` steps, after two to warm up, by method; ``PUBLISHED`` comes last.

    The methods take their steps in turn, so that whatever else the machine does slows all alike.
    """
    day = read_frames(CLIPS / "day_tfl_09731_a1_barnet.mp4")
    night = read_frames(CLIPS / "night_a1_barnet_simulated.mp4")
    scene = Scene("a1_barnet", day, night, temporal_median(day))
    budget = Budget(steps=steps + 2, crop=crop, size=size, device=device, mixed=mixed)
    learners: dict[str, Learner] = {}
    for name in methods:
        train = METHODS[name].train
        assert train is not None
        learners[name] = train(scene, budget, 0, Path("runs/speed"))
    learners[PUBLISHED] = PublishedCut(
        scene,
        replace(SIZES[size], input="rgb"),
        crop=(crop, crop),
        steps=budget.steps,
        seed=0,
        device=device,
        mixed=mixed,
    )
    seconds: dict[str, list[float]] = {name: [] for name in learners}
    for step in range(steps + 2):
        for name, learner in learners.items():
            began = time.perf_counter()
            learner.run_step()
            if device == "cuda":
                torch.cuda.synchronize()
            if step >= 2:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> int:
    """Measure, print a table, and write it where told."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_speed", description=__doc__)
    add = parser.add_argument
    add("--size", choices=("compact", "paper"), default="paper")
    add("--crop", type=int, default=256, help="pixels")
    add("--steps", type=int, default=5, help="timed of each method, after two to warm up")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--mixed", action=argparse.BooleanOptionalAction, default=False, help="bfloat16 convolutions")
    add("--threads", type=int, default=torch.get_num_threads())
    add("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    seconds = measure(size=args.size, crop=args.crop, steps=args.steps, device=args.device, mixed=args.mixed)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print("| method | seconds a step | CUT's ÷ this | published CUT's ÷ this |\n|---|---:|---:|---:|")
    for name, median in medians.items():
        title = METHODS[name].title if name in METHODS else "CUT, its networks as published"
        print(
            f"| {title} | {median:.3f} | {medians['cut'] / median:.2f} | {medians[PUBLISHED] / median:.2f} |"
        )
    if args.json:
        result = {
            "date": str(date.today()),
            "hardware": hardware(args.device),
            "size": args.size,
            "crop": args.crop,
            "mixed": args.mixed,
            "steps": args.steps,
            "seconds_per_step": medians,
        }
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
