"""``python -m benchmarks.study``: run every job that has no result in its table yet."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.general import GENERAL, cameras, clips
from benchmarks.judges.features import PooledFeatures
from benchmarks.study.methods import METHODS, Budget
from benchmarks.study.run import pending, run_one, score_again
from benchmarks.study.scenes import StudyScene, entries, load
from benchmarks.study.table import RESULTS
from nightday.engines.errors import CheckpointError
from nightday.train.footage.scene import SceneError
from nightday.train.run.trainer import TrainingError
from nightday.train.scores.image_distances import FeatureMap
from nightday.train.scores.scorer import Scorer


def main() -> int:
    """Parse, then run job after job."""
    file = entries()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    add = parser.add_argument
    add("--footage", type=Path, required=True, help="folder with manifest.csv, lta/, amos/, day_video/")
    add(
        "--runs",
        type=Path,
        default=Path("runs/study"),
        help="checkpoints and pictures, in a folder with the table's name",
    )
    add(
        "--results",
        type=Path,
        help="the table's file; default: benchmarks/results/study/SIZE-HEIGHT-STEPS[-VGG].jsonl",
    )
    add("--scenes", nargs="+", choices=tuple(file["scenes"]), default=list(file["scenes"]))
    add("--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--steps", type=int, default=1000)
    add("--size", choices=("compact", "paper"), default="compact")
    add("--height", type=int, default=file["height"], help="of the pictures, pixels")
    add("--crop", type=int, default=file["crop"], help="side of the crops, pixels")
    add("--vgg", default="orthogonal", help="of the losses and the scores: orthogonal, imagenet or a path")
    add(
        "--outside",
        type=Path,
        help="a classifier (OpenVINO or TensorFlow Lite) for a second Fréchet distance, in its pooled features",
    )
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add(
        "--mixed",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="bfloat16 convolutions in training",
    )
    add("--general", type=Path, default=GENERAL, help="what own_general starts from")
    add("--threads", type=int, default=1)
    add("--score-again", action="store_true", help="score what was run anew, from the checkpoints in --runs")
    add("--dry-run", action="store_true", help="list what would run")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    network = "" if args.vgg == "orthogonal" else f"-{Path(args.vgg).stem}"
    table: Path = args.results or RESULTS / f"{args.size}-{args.height}-{args.steps}{network}.jsonl"
    budget = Budget(
        steps=args.steps,
        crop=args.crop,
        size=args.size,
        vgg=args.vgg,
        device=args.device,
        mixed=args.mixed,
        general=args.general,
    )
    jobs = pending(table, args.scenes, args.methods, args.seeds, done=args.score_again)
    if args.dry_run:
        print("\n".join(f"{scene} {method} {'' if seed is None else seed}" for scene, method, seed in jobs))
        return 0
    if any(method == "own_general" for _, method, _ in jobs):
        budget = replace(budget, others=cameras(list(clips(args.footage)), height=args.height))
    features = FeatureMap(args.vgg)
    outside = PooledFeatures(args.outside) if args.outside else None
    scenes: dict[str, tuple[StudyScene, Scorer]] = {}
    for number, (key, method, seed) in enumerate(jobs, start=1):
        try:
            if key not in scenes:
                scene = load(key, args.footage, height=args.height)
                scenes[key] = scene, Scorer(scene.test, features)
            paths = {"table": table, "runs": args.runs / table.stem}
            if args.score_again:
                result = score_again(*scenes[key], METHODS[method], seed, outside=outside, **paths)
            else:
                result = run_one(*scenes[key], METHODS[method], budget, seed, outside=outside, **paths)
        except SceneError as error:
            print(f"benchmarks.study: {error}", file=sys.stderr)
            return 2
        except (TrainingError, CheckpointError) as error:
            logging.error("%s %s %s: %s", key, method, seed, error)
            continue
        final = result["final"]
        told = f"{key} {method} {seed} in {result['seconds']:.0f} s"
        distance, floor = final["frechet"]["value"], result["floor"]["frechet"]
        logging.info("%d of %d: %s: Fréchet %.3g (floor %.3g)", number, len(jobs), told, distance, floor)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
