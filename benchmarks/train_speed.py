"""``python -m benchmarks.train_speed``: seconds a training step, DiCo beside CUT and CycleGAN in one run.

CUT twice: on the networks that all methods of the study share, and on those its authors published, anti-aliased.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from benchmarks.study.methods import METHODS, SIZES, Budget, Learner
from benchmarks.study.published_cut import PublishedCut
from benchmarks.study.run import hardware
from train.data import Scene, read_frames, temporal_median

CLIPS = Path(__file__).parent / "clips"
COMPARED = ("dico", "cut", "cyclegan", "own")
PUBLISHED = "CUT, its networks as published"


def main() -> int:
    """Time steps of all methods in turn, so that whatever else the machine does slows all alike."""
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
    day = read_frames(CLIPS / "day_tfl_09731_a1_barnet.mp4")
    night = read_frames(CLIPS / "night_a1_barnet_simulated.mp4")
    scene = Scene("a1_barnet", day, night, temporal_median(day))
    budget = Budget(
        steps=args.steps + 2, crop=args.crop, size=args.size, device=args.device, mixed=args.mixed
    )
    learners: dict[str, Learner] = {}
    for name in COMPARED:
        train = METHODS[name].train
        assert train is not None
        learners[METHODS[name].title] = train(scene, budget, 0, Path("runs/speed"))
    learners[PUBLISHED] = PublishedCut(
        scene, replace(SIZES[args.size], input="rgb"), crop=(args.crop, args.crop), steps=budget.steps, seed=0,
        device=args.device, mixed=args.mixed,
    )  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in learners}
    for step in range(args.steps + 2):
        for name, learner in learners.items():
            began = time.perf_counter()
            learner.run_step()
            if args.device == "cuda":
                torch.cuda.synchronize()
            if step >= 2:
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print("| method | seconds a step | CUT's ÷ this | published CUT's ÷ this |\n|---|---:|---:|---:|")
    for name, median in medians.items():
        print(
            f"| {name} | {median:.3f} | {medians['CUT'] / median:.2f} | {medians[PUBLISHED] / median:.2f} |"
        )
    if args.json:
        result = {
            "date": str(date.today()), "hardware": hardware(args.device), "size": args.size, "crop": args.crop,
            "mixed": args.mixed, "steps": args.steps, "seconds_per_step": medians,
        }  # fmt: skip
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
