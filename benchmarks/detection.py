"""``python -m benchmarks.detection``: what one detector finds on true day, night and translated night.

The camera is the one that the annotated TfL clips show on two days (03601, Blackfriars Road). The translators learn
from the first day's clip, one from other cameras' days as well, under random simulated nights; the second day's clip,
which neither they nor the detector have seen, is darkened under the test's fixed night. The camera stood a few pixels
off then, so the first day's frames are moved onto it by the two medians before training, as its owner would collect
footage anew.

A translator that sees x_ref is tuned with several seeds, without the detector, and judged twice: with that of the
first day, and with the median of the first part of the second clip, as a camera that keeps its own background has it
in the evening. All is scored on the rest of the clip. Both x_ref themselves are scored too: vehicles that stand
through the clip are in the second. So the recall of those that are not is told beside.

Frames without vehicles are not among the annotated: for false alarms the empty road of A1 Barnet (its median, the car
park left out) is darkened with fresh noise, and translated by the model that ships for that camera and by the
general one put there.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.general import GENERAL, cameras, clips
from benchmarks.rounding import rounded
from benchmarks.study.run import hardware
from nightday.engines.detection.detector import load_detector
from nightday.engines.model.checkpoint import load_checkpoint, read_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import LIGHT
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.night_conditions import TEST_NIGHT
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, Scene, read_frames, temporal_median, write_picture
from nightday.train.run.settings import TrainSettings, default_settings
from nightday.train.run.trainer import Trainer
from nightday.train.run.translation import translate
from nightday.train.scores.baselines import TFL_LABELS, clahe, gamma, gamma_to
from nightday.train.scores.detection_scores import Detector, false_positives, read_boxes, score_detections
from nightday.train.scores.scorer import keep_mask, psnr

RESULT = Path(__file__).parent / "results" / "detection.json"
CLIPS = Path(__file__).parent / "clips"
WEIGHTS = Path(__file__).parents[1] / "weights" / "a1_barnet.pt"
TAUGHT = "tfl_annotated/2019-06-28_13-02-35_503167_00001_03601"
TESTED = "tfl_annotated/2019-07-02_09-01-45_122302_00001_03601"
CAR_PARK = (0, 0, 105, 165)  # of A1 Barnet: left, top, right, bottom, pixels
BEFORE = 0.4  # share of the second day's clip that x_ref may be taken from and nothing is scored on
FIRST_DAY, EVENING = "translated, x_ref of the first day", "translated, x_ref of the evening"
NEW = 0.5  # share of a box that differs from the evening's x_ref from which on the vehicle is not in it
EMPTY = 40  # darkened pictures of the empty road
SEED = 20_261_103  # of the test night's noise


def main() -> int:
    """Train the translator unless it is there, score all, write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--footage", type=Path, required=True, help="folder with tfl_annotated/")
    add("--detector", type=Path, required=True, help="vehicles.pt of benchmarks.train_vehicles")
    add("--runs", type=Path, default=Path("runs/detection"))
    add("--steps", type=int, default=5000, help="of the translator that learns from pairs alone")
    add("--general", type=Path, default=GENERAL, help="what the one that sees x_ref starts from")
    add("--tune", type=int, default=1000, help="its steps")
    add("--seeds", nargs="+", type=int, default=[7, 8, 9], help="of it; the table is of the first")
    add("--threads", type=int, default=1)
    add("--mixed", action=argparse.BooleanOptionalAction, default=False)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    clip = read_frames(args.footage / f"{TESTED}.mp4")
    background = temporal_median(clip)
    taught = aligned(read_frames(args.footage / f"{TAUGHT}.mp4"), background)
    scene = Scene("tfl_03601", taught, [], temporal_median(taught))
    first = round(BEFORE * len(clip))
    days, evening = clip[first:], temporal_median(clip[:first])
    others = cameras(list(clips(args.footage)), height=background.shape[0])
    alone = replace(default_settings("paired"), steps=args.steps, mixed=args.mixed, seed=args.seeds[0])
    pairs = load_checkpoint(_translator(scene, args.runs, alone))
    settings = replace(
        default_settings("blend"),
        steps=args.tune,
        mixed=args.mixed,
        pairs=4,
        batch=1,
        crop=(128, 176),
        still_weight=0.0,
        shade=2.0,
        learning_rate=5e-4,
        start_from=str(args.general),
    )
    seeing = [
        load_checkpoint(_translator(scene, args.runs, replace(settings, seed=seed), others=others))
        for seed in args.seeds
    ]
    detect = load_detector(args.detector, confidence=0.001, device="cpu")

    darken = NightSimulator(TEST_NIGHT, background.shape[:2], np.random.default_rng(SEED))
    nights = [darken(day, foreground_mask(day, background)) for day in days]
    by_night = temporal_median(nights[::20])
    exponent = gamma_to(nights[::20], taught)
    trivial: dict[str, Callable[[Image], Image]] = {
        "night": lambda night: night,
        f"gamma {exponent:g}": lambda night: gamma(night, exponent),
        "CLAHE 4": lambda night: clahe(night, 4.0),
    }
    methods: dict[str, list[Image]] = {
        "true day": days,
        **{name: [make(night) for night in nights] for name, make in trivial.items()},
        "the empty scene of the first day": [scene.background] * len(nights),
        "the empty scene of the evening": [evening] * len(nights),
        "translated, pairs alone": translate(pairs, nights),
    }
    for model, seed in zip(seeing, args.seeds, strict=True):
        told = "" if seed == args.seeds[0] else f", seed {seed}"
        for name, by_day in ((FIRST_DAY, scene.background), (EVENING, evening)):
            methods[f"{name}{told}"] = translate(model, nights, by_day, [by_night] * len(nights))
    given = read_boxes(args.footage / f"{TESTED}.csv")
    boxes = [given[i] for i in range(first, len(clip))]
    moving, keep = [foreground_mask(day, background) for day in days], keep_mask(background.shape, TFL_LABELS)
    new = [
        box[[mask[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1].mean() > NEW for x1, y1, x2, y2 in box]]
        for box, mask in ((b, foreground_mask(d, evening)) for b, d in zip(boxes, days, strict=True))
    ]
    alarms = _false_alarms(detect, trivial, load_checkpoint(args.general))
    rows: list[dict[str, Any]] = []
    for name, pictures in methods.items():
        row = {"method": name, **asdict(score_detections(detect, pictures, boxes))}
        row["recall_new"] = score_detections(detect, pictures, new).recall
        if name != "true day":
            found = psnr(pictures, days, moving, keep)
            row |= {"psnr": found.whole, "psnr_foreground": found.foreground}
        rows.append(row | {"false_alarms": alarms.get(name, float("nan"))})
        logging.info("%s", rows[-1])
    by_name = {row["method"]: row["ap50"] for row in rows}
    gap = by_name["true day"] - by_name["night"]
    closed = {
        name: (ap50 - by_name["night"]) / gap if gap > 0 else float("nan")
        for name, ap50 in by_name.items()
        if name.startswith((FIRST_DAY, EVENING))
    }
    print(_table(rows))
    print(
        "\ngap between night and day closed:",
        *(f"{name}: {share:.0%}" for name, share in closed.items()),
        sep="\n",
    )
    result = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "steps": args.steps,
        "tune": args.tune,
        "seeds": args.seeds,
        "gap_closed": closed,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(rounded(result), indent=1) + "\n")
    write_picture(args.runs / "seen.png", _seen(detect, [days, nights, methods[EVENING]]))
    print(args.runs / "seen.png")
    return 0


def aligned(frames: Sequence[Image], like: Image) -> list[Image]:
    """``frames`` of a fixed camera moved onto ``like``, the median of another day, by one affine map."""
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (like, temporal_median(list(frames)))]
    enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 500, 1e-6)
    start: Any = np.eye(2, 3, dtype=np.float32)
    _, move = cv2.findTransformECC(grey[0], grey[1], start, cv2.MOTION_AFFINE, enough, None, 5)
    size, how = (like.shape[1], like.shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = (cv2.warpAffine(f, move, size, flags=how, borderMode=cv2.BORDER_REPLICATE) for f in frames)
    return [np.asarray(frame, np.uint8) for frame in moved]


def _translator(scene: Scene, runs: Path, settings: TrainSettings, *, others: Sequence[Scene] = ()) -> Path:
    folder = runs / f"{scene.name}.{settings.recipe}.{settings.steps}.{settings.seed}"
    path = folder / "model.pt"
    if path.is_file() and read_checkpoint(path)["training"]["step"] == settings.steps:
        return path
    settings = replace(settings, generator=LIGHT, save_every=1000, sample_every=2000)
    trainer = Trainer(scene, settings, folder, others=others)
    trainer.resume()
    trainer.run(lambda step, terms: logging.info("%d %s", step, terms) if step % 500 == 0 else None)
    return path


def _false_alarms(
    detect: Detector, trivial: dict[str, Callable[[Image], Image]], general: NightToDay
) -> dict[str, float]:
    """False alarms a picture on the empty road, by method."""
    clip = read_frames(CLIPS / "day_tfl_09731_a1_barnet.mp4")
    empty, evening = temporal_median(clip), temporal_median(clip[: round(BEFORE * len(clip))])
    models = {"translated, pairs alone": load_checkpoint(WEIGHTS), EVENING: general}
    darken = NightSimulator(TEST_NIGHT, empty.shape[:2], np.random.default_rng(SEED + 1))
    nights = [darken(empty) for _ in range(EMPTY)]
    by_night = temporal_median(nights)
    keep = keep_mask(empty.shape, (*TFL_LABELS, CAR_PARK))
    made = {name: [make(night) for night in nights] for name, make in trivial.items()}
    made |= {
        "true day": [empty],
        **{name: translate(model, nights, evening, [by_night] * EMPTY) for name, model in models.items()},
    }
    return {name: false_positives(detect, pictures, keep) for name, pictures in made.items()}


def _seen(detect: Detector, columns: Sequence[Sequence[Image]]) -> Image:
    """Three moments, a row each: sure detections drawn on the pictures of each column, twice their size."""
    rows = []
    for at in np.linspace(0, len(columns[0]) - 1, 3).round().astype(int):
        row = []
        for pictures in columns:
            shown = cv2.resize(pictures[at], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            for one in detect(pictures[at][None])[0]:
                if one.confidence > 0.25:
                    x1, y1, x2, y2 = (round(2 * edge) for edge in one.box)
                    cv2.rectangle(shown, (x1, y1), (x2, y2), (255, 220, 0), 2)
            row.append(shown)
        rows.append(np.hstack(row))
    return np.asarray(np.vstack(rows), np.uint8)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    columns = {
        "ap50": "AP50",
        "recall": "recall",
        "recall_small": "small",
        "recall_medium": "medium",
        "recall_large": "large",
        "recall_new": "not in x_ref",
        "precision": "precision",
        "false_alarms": "false alarms, empty road",
        "psnr_foreground": "PSNR foreground",
    }
    lines = ["| pictures | " + " | ".join(columns.values()) + " |", "|---|" + "---:|" * len(columns)]
    for row in rows:
        cells = [f"{row[c]:.3f}" if c in row and row[c] == row[c] else "–" for c in columns]
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
