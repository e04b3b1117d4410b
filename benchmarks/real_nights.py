"""``python -m benchmarks.real_nights``: a model for every real camera, looked at on nights it has never seen."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.general import GENERAL, clips
from benchmarks.general import cameras as other_cameras
from benchmarks.study.methods import METHODS, Budget, translate
from benchmarks.study.run import hardware
from benchmarks.study.scenes import StudyScene, entries, load_stills
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.train.footage.scene import Image, SceneError, temporal_median, write_picture
from nightday.train.run.validation import outstanding_recall
from nightday.train.scores.scorer import psnr

RESULT = Path(__file__).parent / "results" / "real_nights.json"
GAIN = 8.0  # dB nearer to x_ref than the night itself


def cameras(footage: Path) -> list[str]:
    """The folders of real cameras with stills by day and by night, in the manifest's order."""
    with (footage / "manifest.csv").open() as lines:
        paths = [Path(row["path"]) for row in csv.DictReader(lines)]
    stills = [path for path in paths if path.suffix == ".jpg" and path.parent.name in ("day", "night")]
    return list(dict.fromkeys(str(path.parent.parent) for path in stills))


def main() -> int:
    """Train what is not there yet, score all, write the result and a sheet, worst camera first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_nights", description=__doc__)
    add = parser.add_argument
    add("--footage", type=Path, required=True)
    add(
        "--runs",
        type=Path,
        default=Path("runs/real_nights"),
        help="checkpoints and the sheet, which stay here",
    )
    add("--method", choices=[m.key for m in METHODS.values() if m.train], default="own_general")
    add("--general", type=Path, default=GENERAL, help="what own_general starts from")
    add("--steps", type=int, default=1000)
    add("--height", type=int, default=216)
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--mixed", action=argparse.BooleanOptionalAction, default=False)
    add("--vgg", default="orthogonal")
    add("--threads", type=int, default=1)
    add("--only", nargs="+", help="cameras, such as amos/O")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    labels = {entry["stills"]: entry["labels"] for entry in entries()["scenes"].values() if "stills" in entry}
    lta = labels["lta/4713"][:1]  # its logo, which all of LTA's have
    budget = Budget(
        steps=args.steps,
        device=args.device,
        mixed=args.mixed,
        vgg=args.vgg,
        general=args.general,
        others=other_cameras(list(clips(args.footage)), height=args.height)
        if args.method == "own_general"
        else (),
    )
    rows: list[dict[str, Any]] = []
    pictures: list[tuple[float, Image]] = []
    try:
        for camera in args.only or cameras(args.footage):
            scene = load_stills(
                camera.replace("/", "_"),
                args.footage,
                camera,
                height=args.height,
                title=camera,
                labels=labels.get(camera, lta if camera.startswith("lta") else []),
            )
            row, picture = _camera(scene, args.method, budget, args.runs)
            logging.info("%s", row)
            rows.append(row)
            pictures.append((row["gain"], picture))
    except SceneError as error:
        print(f"benchmarks.real_nights: {error}", file=sys.stderr)
        return 2
    rows.sort(key=lambda row: row["gain"])
    enough = sum(row["gain"] >= GAIN for row in rows)
    print(
        "| camera | test nights | night to x_ref, dB | output to x_ref, dB | gain | stands out | "
        "of it shown | elsewhere |\n|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    for row in rows:
        print(
            f"| {row['camera']} | {row['nights']} | {row['night']:.2f} | {row['output']:.2f} | {row['gain']:.2f} | "
            f"{row['stands_out']:.1%} | {row['shown']:.0%} | {row['elsewhere']:.1%} |"
        )
    print(f"\n{enough} of {len(rows)} cameras gain {GAIN:g} dB or more")
    if not args.only:
        result = {
            "date": str(date.today()),
            "hardware": hardware(args.device),
            "method": args.method,
            "steps": args.steps,
            "height": args.height,
            "features": args.vgg,
            "enough": enough,
            "cameras": [
                {k: None if v != v else v for k, v in row.items()} for row in rows
            ],  # JSON knows no NaN
        }
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    width = max(picture.shape[1] for _, picture in pictures)
    sheet = [
        cv2.copyMakeBorder(
            picture, 0, 4, 0, width - picture.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        for _, picture in sorted(pictures, key=lambda each: each[0])
    ]
    write_picture(args.runs / "sheet.png", np.vstack(sheet))
    print(args.runs / "sheet.png")
    return 0


def _camera(scene: StudyScene, method: str, budget: Budget, runs: Path) -> tuple[dict[str, Any], Image]:
    """A camera's row and its picture: x_ref, then night and output of two test nights."""
    path = runs / f"{scene.key}.{method}.{budget.steps}" / "model.pt"
    if not path.is_file():
        train = METHODS[method].train
        assert train is not None
        learner = train(scene.train, budget, 0, path.parent)
        for _ in range(budget.steps):
            learner.run_step()
        save_checkpoint(path, learner.model, training={"scene": scene.key, "step": budget.steps})
    test = scene.test
    outputs = translate(load_checkpoint(path), test.nights, scene.train)
    moving, reference = test.foreground(), [test.background] * len(outputs)
    night, output = (
        psnr(pictures, reference, moving, test.keep).background for pictures in (test.nights, outputs)
    )
    empty = temporal_median([*scene.train.night, *test.nights])
    things = outstanding_recall(test.nights, outputs, empty, test.background)
    last = len(outputs) - 1
    columns = [test.background, test.nights[0], outputs[0], test.nights[last], outputs[last]]
    row = {
        "camera": scene.title,
        "days": len(scene.train.day),
        "nights_learned": len(scene.train.night),
        "nights": len(outputs),
        "night": round(night, 3),
        "output": round(output, 3),
        "gain": round(output - night, 3),
        "stands_out": round(things.outstanding, 4),
        "shown": round(things.recall, 4),
        "elsewhere": round(things.elsewhere, 4),
    }
    return row, np.hstack(columns)


if __name__ == "__main__":
    raise SystemExit(main())
