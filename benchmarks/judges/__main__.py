"""``python -m benchmarks.judges``: what outside networks see on day, night, cheap answers and translated night.

Annotated TfL clips by day are darkened by the night simulation, which keeps the truth. x_ref is the median of a clip,
n_ref that of its simulated nights; with ``--minute`` both are what a minute of traffic would give. Two detectors of
COCO's classes are asked for vehicles; recall is compared at one precision, 0.9 of that by day. The rows "and the
night" have what was found on either, merged as the program merges it; those "and what is unclear" show the relit
night where a model says that its picture is unclear. Segmentation is compared with what the same network sees on the
true day.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.day_one.answers import Answer, methods
from benchmarks.day_one.cameras import Camera
from benchmarks.general import GENERAL
from benchmarks.judges.detectors import JUDGES, Judge
from benchmarks.judges.features import PooledFeatures
from benchmarks.judges.minute import after_a_minute, read_passing
from benchmarks.judges.segmentation import Segment, agreement, torchvision_segmentation
from benchmarks.rounding import rounded
from benchmarks.study.run import hardware
from nightday.engines.detection.detections import Detection
from nightday.engines.model.evidence import evidence
from nightday.pipeline.analysis.merge_views import merge_views
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.night_conditions import TEST_NIGHT
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, SceneError, read_frames, temporal_median
from nightday.train.scores.baselines import TFL_LABELS
from nightday.train.scores.detection_scores import Boxes, Matched, average_precision, match_all, read_boxes
from nightday.train.scores.scorer import keep_mask

RESULT = Path(__file__).parents[1] / "results" / "judges.json"
ANNOTATED = "tfl_annotated"
# Confidence at which the day's precision is taken, and the share of it at which recalls are compared.
SURE, EQUAL = 0.3, 0.9
# Nights that n_ref is the median of.
EMPTY = 25
SEED = 20_261_201
DAY = "true day"
# The clip of the rows of all clips together.
ALL = "all clips"


def clips(footage: Path) -> dict[Path, bool]:
    """The annotated clips, and whether the general model may have learnt from them."""
    with (footage / "manifest.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["path"].startswith(ANNOTATED + "/")]
    found = {footage / row["path"]: row["split"] == "train" for row in rows}
    return {path: learnt for path, learnt in found.items() if path.with_suffix(".csv").is_file()}


def darkened(
    path: Path, every: int, *, minute: bool = False, light: float = 1.0
) -> tuple[Camera, list[Image], list[Boxes], float]:
    """A clip as a camera on its first night, each scored night's true day and boxes, the share of x_ref filled in."""
    frames = read_frames(path)
    x_ref, seen, filled = temporal_median(frames), frames, 0.0
    if minute:
        made = after_a_minute(frames, read_passing(path.with_suffix(".csv")))
        x_ref, seen, filled = made.x_ref, made.emptied, made.filled
    conditions = dataclasses.replace(TEST_NIGHT, ambient=light * TEST_NIGHT.ambient)
    simulate = NightSimulator(conditions, x_ref.shape[:2], np.random.default_rng(SEED))

    def night(frame: Image) -> Image:
        return simulate(frame, foreground_mask(frame, x_ref))

    learned = [night(frame) for frame in seen[:: max(1, len(seen) // EMPTY)]]
    given = read_boxes(path.with_suffix(".csv"))
    picks = [i for i in range(every // 2, len(frames), every) if i in given]
    camera = Camera(
        name=path.stem,
        left_out=False,
        x_ref=x_ref,
        n_ref=temporal_median(learned),
        days=frames[::10],
        learned=learned,
        nights=[night(frames[i]) for i in picks],
        boxes=None,
        keep=keep_mask(x_ref.shape, TFL_LABELS),
    )
    return camera, [frames[i] for i in picks], [given[i] for i in picks], filled


def with_unclear(camera: Camera, answer: Answer) -> list[Image]:
    """A model's days, and in them the relit night as far as they are unclear by the model and evidence is near."""
    assert answer.trust is not None
    x_ref, n_ref = (_tensor(picture) for picture in (camera.x_ref, camera.n_ref))
    shown = []
    for night, day, trust in zip(camera.nights, answer.days, answer.trust, strict=True):
        found = evidence(_tensor(night), x_ref, n_ref)
        near = torch.nn.functional.interpolate(found.near, size=night.shape[:2], mode="bilinear")[
            0, 0
        ].numpy()
        share = (near * trust[..., 2] / 255)[..., None]
        relit = found.relit[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
        shown.append(np.rint(day + share * (relit - day)).astype(np.uint8))
    return shown


def _tensor(picture: Image) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def matched_all(
    judge: Judge, answers: dict[str, list[Image]], boxes: Sequence[Boxes], both: Iterable[str] = ()
) -> dict[str, Matched]:
    """What a detector finds on each answer, and on each of ``both`` together with the night."""
    found = {name: [judge(one[np.newaxis])[0] for one in pictures] for name, pictures in answers.items()}
    for name in both:
        pairs = zip(found[name], found["night"], strict=True)
        found[f"{name} and the night"] = [merge_views(day, night) for day, night in pairs]
    return {name: _matched(each, answers[DAY], boxes) for name, each in found.items()}


def _matched(found: list[list[Detection]], pictures: Sequence[Image], boxes: Sequence[Boxes]) -> Matched:
    stored = iter(found)
    return match_all(lambda _: [next(stored)], pictures, boxes)


def together(some: Sequence[dict[str, Matched]]) -> dict[str, Matched]:
    """Several clips as one."""
    return {
        name: Matched(
            tuple(one for each in some for one in each[name].found),
            tuple(size for each in some for size in each[name].sizes),
        )
        for name in some[0]
    }


def detection_rows(found: dict[str, Matched]) -> list[dict[str, Any]]:
    """A row for each answer: recall at one precision, and how much of the gap in AP50 from night to day it closes."""
    day = [one.size is not None for one in found[DAY].found if one.confidence > SURE]
    precision = EQUAL * float(np.mean(day)) if day else float("nan")
    rows: list[dict[str, Any]] = []
    for name, matched in found.items():
        sure = [one.size is not None for one in matched.found if one.confidence > SURE]
        at = matched.confidence_at(precision)
        small, medium, large = matched.recall_by_size(at)
        rows.append(
            {
                "method": name,
                "ap50": average_precision(
                    [(one.confidence, one.size is not None) for one in matched.found], len(matched.sizes)
                ),
                "precision": float(np.mean(sure)) if sure else float("nan"),
                "equal_precision": precision,
                "recall": matched.recall(at),
                "recall_small": small,
                "recall_medium": medium,
                "recall_large": large,
                "boxes": len(matched.sizes),
            }
        )
    by_name = {row["method"]: row["ap50"] for row in rows}
    gap = by_name[DAY] - by_name["night"]
    for row in rows:
        row["gap_closed"] = (row["ap50"] - by_name["night"]) / gap if gap > 0 else float("nan")
    return rows


def segmentation_rows(
    segment: Segment, answers: dict[str, list[Image]], camera: Camera
) -> list[dict[str, Any]]:
    """Agreement of each answer with the same network's answer on the true day."""
    truth = [segment(day) for day in answers[DAY]]
    return [
        {"method": name, "miou": agreement([segment(each) for each in pictures], truth, camera.keep)}
        for name, pictures in answers.items()
        if name != DAY
    ]


def main() -> int:
    """Judge all, print tables, add the run to the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judges", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--footage", type=Path, required=True)
    add("--centernet", type=Path, help="OpenVINO model, float (1, 512, 512, 3)")
    add("--nanodet", type=Path, help="OpenVINO model, float (1, 3, 416, 416)")
    add("--segmentation", metavar="NAME=PATH", help="a network of torchvision and its published weights")
    add("--features", type=Path, help="a classifier for a Fréchet distance, OpenVINO or TensorFlow Lite")
    add("--model", action="append", metavar="NAME=PATH", help="a checkpoint; the general model unless given")
    add("--minute", action="store_true", help="backgrounds as a minute of traffic gives them")
    add("--light", type=float, default=1.0, help="times the light of the sky by night")
    add("--methods", nargs="+", help="of those that cost nothing; all unless given")
    add("--every", type=int, default=12, help="frames from one that is judged to the next")
    add("--only", nargs="+", help="parts of clips' names")
    add("--result", type=Path, default=RESULT)
    add("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    given = [model.partition("=") for model in args.model or [f"general={GENERAL}"]]
    compared = methods([(name, path) for name, _, path in given])
    if args.methods:
        kept = {"night", *args.methods, *(name for name, *_ in given)}
        compared = {name: method for name, method in compared.items() if name in kept}
    paths = {"CenterNet": args.centernet, "NanoDet": args.nanodet}
    judges = {name: JUDGES[name](path) for name, path in paths.items() if path is not None}
    rows: list[dict[str, Any]] = []
    seen: dict[str, list[dict[str, Matched]]] = {name: [] for name in judges}
    made_up: dict[str, float] = {}
    try:
        segment = None
        if args.segmentation:
            name, _, path = args.segmentation.partition("=")
            segment = torchvision_segmentation(name, Path(path))
        features = PooledFeatures(args.features) if args.features else None
        for path, learnt in clips(args.footage).items():
            if args.only and not any(part in path.stem for part in args.only):
                continue
            camera, days, boxes, made_up[path.stem] = darkened(
                path, args.every, minute=args.minute, light=args.light
            )
            made = {name: method(camera) for name, method in compared.items()}
            answers = {name: answer.days for name, answer in made.items()} | {DAY: days}
            answers |= {
                f"{name} and what is unclear": with_unclear(camera, answer)
                for name, answer in made.items()
                if answer.trust is not None
            }
            about = {"clip": path.stem, "learnt": learnt, "pictures": len(days)}
            for name, judge in judges.items():
                seen[name].append(matched_all(judge, answers, boxes, [name for name, *_ in given]))
                rows += [about | {"judge": name} | row for row in detection_rows(seen[name][-1])]
                logging.info("%s by %s", path.stem, name)
            if segment is not None:
                rows += [
                    about | {"judge": args.segmentation.partition("=")[0]} | row
                    for row in segmentation_rows(segment, answers, camera)
                ]
            if features is not None:
                rows += [
                    about
                    | {"judge": features.name, "method": name, "frechet": features.distance(pictures, days)}
                    for name, pictures in answers.items()
                    if name != DAY
                ]
                logging.info("%s by %s", path.stem, features.name)
        for name, clips_seen in seen.items():
            if len(clips_seen) > 1:
                whole = {"clip": ALL, "learnt": False, "judge": name}
                rows += [whole | row for row in detection_rows(together(clips_seen))]
    except SceneError as error:
        print(f"benchmarks.judges: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    result = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "models": {name: Path(path).name for name, _, path in given},
        "backgrounds": "as of a minute of traffic" if args.minute else "of the clip",
        "light": args.light,
        "every": args.every,
        "equal_precision": EQUAL,
        "filled_in": made_up,
        "rows": rows,
    }
    write_run(args.result, rounded(result))
    return 0


def write_run(path: Path, run: dict[str, Any]) -> None:
    """Add a run to the file's list, in place of one with the same models, backgrounds, light and pictures."""
    same = ("models", "backgrounds", "light", "every")
    runs = json.loads(path.read_text()) if path.is_file() else []
    runs = [one for one in runs if any(one[key] != run[key] for key in same)]
    path.write_text(json.dumps([*runs, run], indent=1) + "\n")


COLUMNS = {
    "ap50": "AP50 ↑",
    "gap_closed": "gap closed ↑",
    "precision": "precision ↑",
    "recall": "recall at one precision ↑",
    "recall_small": "small ↑",
    "recall_medium": "medium ↑",
    "recall_large": "large ↑",
    "miou": "mIoU with the day ↑",
    "frechet": "Fréchet to the day ↓",
}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown; a dash where there is nothing."""
    columns = {key: title for key, title in COLUMNS.items() if any(key in row for row in rows)}
    lines = [
        "| clip | judge | pictures | " + " | ".join(columns.values()) + " |",
        "|---|---|---|" + "---:|" * len(columns),
    ]
    for row in rows:
        cells = [f"{row[key]:.3f}" if row.get(key, float("nan")) == row.get(key) else "–" for key in columns]
        clip = row["clip"][-13:] + (" (learnt)" if row["learnt"] else "")
        lines.append(f"| {clip} | {row['judge']} | {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
