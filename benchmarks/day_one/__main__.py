"""``python -m benchmarks.day_one``: cameras never seen, on their first night.

Each camera has x_ref, the median of its days to learn from, and n_ref, the median of such nights. On nights kept back
the general model with these two is compared with the answers that need no model. Where vehicles are labelled, the
share of them that is shown is told; elsewhere the share of what stands out. On the study's scenes with a truth: PSNR,
how much a still background flickers, and whether what the model calls unclear is where it is wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.day_one.answers import Answer, Method, methods
from benchmarks.day_one.cameras import Camera, labelled_cameras, of_scene, still_cameras
from benchmarks.day_one.scores import (
    LABELLED_COLUMNS,
    PAIRED_COLUMNS,
    STILL_COLUMNS,
    SUMMARY_COLUMNS,
    labelled_row,
    paired_row,
    sheet,
    still_row,
    summary,
    table,
)
from benchmarks.general import GENERAL, LEFT_OUT
from benchmarks.rounding import rounded
from benchmarks.study.run import hardware
from benchmarks.study.scenes import StudyScene, load
from nightday.train.footage.scene import SceneError, write_picture

RESULT = Path(__file__).parents[1] / "results" / "day_one.json"
PAIRED = ("vehicle", "crowds", "pedestrian_g")


def main() -> int:
    """Measure, print the tables, write the result and a sheet a camera."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day_one", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--footage", type=Path, required=True)
    add("--runs", type=Path, default=Path("runs/day_one"), help="the sheets, which stay here")
    add(
        "--model",
        action="append",
        metavar="NAME=PATH",
        help="a checkpoint; {camera} in the path stands for the camera. The general model unless given",
    )
    add("--only", nargs="+", help="cameras or scenes, such as lta2021/1001, lta/4713, vehicle")
    add(
        "--parts",
        nargs="+",
        choices=("labelled", "stills", "paired"),
        default=["labelled", "stills", "paired"],
    )
    add("--result", type=Path, help=f"written there too; {RESULT.name} of results/ when all is measured")
    add("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    models = [
        (name, path) for name, _, path in (m.partition("=") for m in args.model or [f"general={GENERAL}"])
    ]
    if not all(path for _, path in models):
        parser.error("--model: give NAME=PATH")
    compared = methods(models)
    result: dict[str, Any] = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "models": {name: Path(path).name for name, path in models},
        "left_out": sorted(LEFT_OUT),
    }
    try:
        result |= measured(compared, args.footage, args.runs, parts=args.parts, only=args.only)
    except SceneError as error:
        print(f"benchmarks.day_one: {error}", file=sys.stderr)
        return 2
    whole = not args.only and len(args.parts) == 3 and not args.model
    for path in [*([RESULT] if whole else []), *([args.result] if args.result else [])]:
        path.write_text(json.dumps(rounded(result), indent=1) + "\n")
    return 0


def measured(
    compared: dict[str, Method],
    footage: Path,
    runs: Path,
    *,
    parts: Sequence[str],
    only: Sequence[str] | None,
) -> dict[str, Any]:
    """The rows of each part and their summaries, which are also printed; sheets go to ``runs``.

    Raises SceneError where footage is missing.
    """
    result: dict[str, Any] = {}
    if "labelled" in parts:
        cameras = [c for c in labelled_cameras(footage) if not only or c.name in only]
        rows = _measure(cameras, compared, labelled_row, runs)
        unseen = [row for row in rows if row["left_out"]]
        result["labelled"] = rows
        result["labelled_summary"] = [
            {"cameras_of": title, **row}
            for title, some in (("left out", unseen), ("all", rows))
            for row in summary(some, boxes=True)
        ]
        _print(table(rows, LABELLED_COLUMNS), table(result["labelled_summary"], SUMMARY_COLUMNS))
    if "stills" in parts:
        cameras = [c for c in still_cameras(footage) if not only or c.name in only]
        result["stills"] = rows = _measure(cameras, compared, still_row, runs)
        result["stills_summary"] = summary(rows, boxes=False)
        _print(table(rows, STILL_COLUMNS), table(result["stills_summary"], SUMMARY_COLUMNS))
    if "paired" in parts:
        result["paired"] = rows = []
        for key in PAIRED:
            if only and key not in only:
                continue
            scene = load(key, footage)

            def row(camera: Camera, method: str, answer: Answer, of: StudyScene = scene) -> dict[str, Any]:
                return paired_row(of, camera, method, answer)

            rows += _measure([of_scene(key, scene)], compared, row, runs)
        _print(table(rows, PAIRED_COLUMNS))
    return result


def _measure(
    cameras: Sequence[Camera],
    compared: dict[str, Method],
    row: Callable[[Camera, str, Answer], dict[str, Any]],
    runs: Path,
) -> list[dict[str, Any]]:
    rows = []
    for camera in cameras:
        answers = {name: method(camera) for name, method in compared.items()}
        for name, answer in answers.items():
            rows.append(row(camera, name, answer))
            if name not in ("night", "gamma", "CLAHE"):
                logging.info("%s", rounded(rows[-1]))
        write_picture(runs / f"{camera.name.replace('/', '_')}.png", sheet(camera, answers))
    return rows


def _print(*tables: str) -> None:
    print("\n" + "\n\n".join(tables), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
