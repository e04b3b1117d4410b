"""Trains a small vehicle detector from scratch on annotated clips of fixed cameras, and scores it on clips held back.

    python -m benchmarks.train_vehicles FOOTAGE OUT

FOOTAGE holds ``manifest.csv`` (columns path, split; ``train`` or ``test``) and the clips it names, those with
boxes beside them as CSV (frame, type, x1, y1, x2, y2 in pixels). OUT receives the data set in YOLO's layout, what the
training writes, ``vehicles.pt`` and ``scores.json``. Every type is one class, "vehicle": of the annotators' six, half
are in one clip only. Nothing is downloaded; the test clips are read once, at the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
import time
import types
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.detector import load_detector
from pipeline.letterbox import PADDING
from pipeline.quiet_ultralytics import import_ultralytics

IMAGE_SIZE = 352
LEAST = 6.0  # pixels: thinner boxes are slivers of vehicles at the picture's edge
FAR = 40  # pixels above the farthest boxes of a clip in which unlabelled vehicles are seen
DESIGN = "yolov8n.yaml"
WIDTH = 0.125  # channels, against 0.25 of the nano model: one class needs no more, and a CPU twice the frames
SETTINGS: dict[str, Any] = {
    "imgsz": IMAGE_SIZE,
    "batch": 16,
    "optimizer": "AdamW",
    "lr0": 0.002,
    "cos_lr": True,
    "degrees": 4.0,
    "scale": 0.6,
    "close_mosaic": 10,
    "seed": 0,
    "deterministic": True,
    "device": "cpu",
    "workers": 0,
    "amp": False,
    "val": False,  # the last epoch is taken, not the one that does best on what it will be judged by
    "plots": False,
}

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clip:
    """An annotated clip. ``boxes`` maps a frame's index to its (N, 4) boxes: x1, y1, x2, y2 in pixels."""

    path: Path
    split: str
    boxes: dict[int, Boxes]

    def frames(self) -> Iterator[tuple[int, NDArray[np.uint8], Boxes]]:
        """Index, RGB picture (H, W, 3) and boxes of every frame."""
        with av.open(str(self.path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                yield index, rgb, self.boxes.get(index, np.zeros((0, 4)))


def read_clips(footage: Path) -> list[Clip]:
    """The clips of ``footage/manifest.csv`` that have boxes."""
    clips = []
    with (footage / "manifest.csv").open(newline="") as manifest:
        for row in csv.DictReader(manifest):
            path = footage / row["path"]
            table = path.with_suffix(".csv")
            if path.suffix == ".mp4" and table.is_file():
                clips.append(Clip(path, row["split"], _read_boxes(table)))
    return clips


def _read_boxes(table: Path) -> dict[int, Boxes]:
    found: dict[int, list[list[float]]] = defaultdict(list)
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            found[int(row["frame"])].append([float(row[edge]) for edge in ("x1", "y1", "x2", "y2")])
    return {frame: np.array(boxes) for frame, boxes in found.items()}


def far_zone(clip: Clip, height: int, width: int) -> NDArray[np.bool_]:
    """Where the annotators stopped looking, (H, W): the band above the topmost box ever seen in each column.

    Vehicles there are visible and unlabelled; a detector should be neither taught nor scored there.
    """
    top = np.full(width, height)
    for x1, y1, x2, _ in np.concatenate(list(clip.boxes.values())):
        columns = slice(max(0, int(x1)), int(np.ceil(x2)))
        top[columns] = np.minimum(top[columns], int(y1))
    rows = np.arange(height)[:, np.newaxis]
    return (rows < top) & (rows >= top - FAR) & (top < height)


def write_dataset(clips: Sequence[Clip], out: Path, *, every: int) -> Path:
    """Write every ``every``-th frame of the clips in YOLO's layout under ``out``; the path of its data.yaml."""
    counts: dict[str, int] = defaultdict(int)
    for number, clip in enumerate(clips):
        for index, rgb, boxes in clip.frames():
            if index % every:
                continue
            height, width = rgb.shape[:2]
            if clip.split == "train":
                rgb[far_zone(clip, height, width)] = PADDING
            name = f"{number}_{index:05d}"
            images, labels = out / "images" / clip.split, out / "labels" / clip.split
            images.mkdir(parents=True, exist_ok=True)
            labels.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(images / f"{name}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            kept = boxes[_thinner_side(boxes) >= LEAST]
            centres, sizes = (kept[:, :2] + kept[:, 2:]) / 2, kept[:, 2:] - kept[:, :2]
            scaled = np.hstack((centres, sizes)) / ((width, height) * 2)
            (labels / f"{name}.txt").write_text(
                "".join(f"0 {' '.join(f'{value:.6f}' for value in box)}\n" for box in scaled)
            )
            counts[clip.split] += 1
    data = out / "data.yaml"
    data.write_text(
        json.dumps(
            {
                "path": str(out.resolve()),
                "train": "images/train",
                "val": "images/test",
                "names": {0: "vehicle"},
            }
        )
    )
    print(f"data set: {dict(counts)} pictures in {out}")
    return data


def _thinner_side(boxes: Boxes) -> NDArray[np.float64]:
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def train(data: Path, out: Path, *, epochs: int, width: float) -> Path:
    """Train with ultralytics' own trainer; the path of its last checkpoint, of averaged weights."""
    import_ultralytics()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("ultralytics").setLevel(logging.INFO)
    _stand_in_for_torchvision()
    from ultralytics import YOLO
    from ultralytics.nn.tasks import yaml_model_load

    design = yaml_model_load(DESIGN)
    design["scales"] = {"n": [0.33, width, 1024]}
    plan = out / DESIGN
    plan.write_text(json.dumps({key: value for key, value in design.items() if key != "yaml_file"}))
    model = YOLO(plan, task="detect")
    model.train(data=str(data), epochs=epochs, project=str(out), name="run", exist_ok=True, **SETTINGS)
    return out / "run" / "weights" / "last.pt"


def _stand_in_for_torchvision() -> None:
    """Let ultralytics' validator import torchvision where its compiled operators do not load.

    It wants one function of it, for which ultralytics has a twin of its own.
    """
    from ultralytics.utils.nms import TorchNMS

    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        stand_in = types.ModuleType("torchvision")
        stand_in.ops = types.SimpleNamespace(nms=TorchNMS.nms)  # type: ignore[attr-defined]
        sys.modules["torchvision"] = stand_in


def strip(checkpoint: Path, path: Path) -> None:
    """Keep of a trainer's checkpoint what is needed to run it: the averaged model in half precision, its size."""
    from ultralytics.nn.tasks import torch_safe_load

    loaded, _ = torch_safe_load(checkpoint, safe_only=True)
    model = (loaded.get("ema") or loaded["model"]).half().eval()
    model.criterion = None
    model.args = {"imgsz": IMAGE_SIZE, "task": "detect"}
    for parameter in model.parameters():
        parameter.requires_grad = False
    torch.save({"model": model, "train_args": {"imgsz": IMAGE_SIZE, "task": "detect"}}, path)


@dataclass(frozen=True, slots=True)
class Score:
    """Scores at an overlap (IoU) of one half. ``precision`` and ``recall`` are those at confidence 0.25."""

    ap50: float
    precision: float
    recall: float
    frames: int
    boxes: int


def score(weights: Path, clips: Sequence[Clip], *, lenient: bool) -> Score:
    """Score a detector on every frame of ``clips``.

    Detections are matched from the surest down, each to the free box it overlaps most. ``lenient`` leaves out of
    account boxes thinner than ``LEAST`` with what matches them, and unmatched detections that lie in the
    ``far_zone`` with more than half their area.
    """
    detector = load_detector(weights, confidence=0.001, device="cpu")
    verdicts: list[tuple[float, bool]] = []
    frames = total = 0
    for clip in clips:
        zone: NDArray[np.bool_] | None = None
        for _, rgb, boxes in clip.frames():
            if zone is None:
                zone = far_zone(clip, *rgb.shape[:2])
            counted = _thinner_side(boxes) >= LEAST if lenient else np.ones(len(boxes), bool)
            found = detector(rgb[np.newaxis])[0]
            matches = match([one.box for one in found], boxes)
            for one, matched in zip(found, matches, strict=True):
                if matched is None:
                    x1, y1, x2, y2 = (round(edge) for edge in one.box)
                    if lenient and zone[y1:y2, x1:x2].size and zone[y1:y2, x1:x2].mean() > 0.5:
                        continue
                    verdicts.append((one.confidence, False))
                elif counted[matched]:
                    verdicts.append((one.confidence, True))
            frames += 1
            total += int(counted.sum())
    sure = [right for confidence, right in verdicts if confidence > 0.25]
    return Score(
        ap50=average_precision(verdicts, total),
        precision=sum(sure) / max(1, len(sure)),
        recall=sum(sure) / max(1, total),
        frames=frames,
        boxes=total,
    )


def match(found: Sequence[tuple[float, float, float, float]], boxes: Boxes) -> list[int | None]:
    """For each found box, in order, the index of the free box it overlaps most, if by at least one half."""
    free = np.ones(len(boxes), bool)
    result: list[int | None] = []
    for box in found:
        overlaps = np.where(free, _overlaps(np.array(box), boxes), 0.0)
        best = int(overlaps.argmax()) if len(boxes) else -1
        if best >= 0 and overlaps[best] >= 0.5:
            free[best] = False
            result.append(best)
        else:
            result.append(None)
    return result


def _overlaps(box: NDArray[np.float64], boxes: Boxes) -> NDArray[np.float64]:
    sides = np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None)
    both = sides.prod(1)
    return np.asarray(both / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - both))


def average_precision(verdicts: Sequence[tuple[float, bool]], total: int) -> float:
    """Area under the precision-recall curve made monotone, of (confidence, right) pairs and ``total`` boxes."""
    if not verdicts or not total:
        return 0.0
    right = np.array([good for _, good in sorted(verdicts, key=lambda pair: -pair[0])])
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / total)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("footage", type=Path, help="folder with manifest.csv, clips and boxes")
    parser.add_argument("out", type=Path, help="folder for data set, run, vehicles.pt and scores.json")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--every", type=int, default=3, help="use every n-th frame of the training clips")
    parser.add_argument("--width", type=float, default=WIDTH, help="channels, as a share of yolov8x's")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    clips = read_clips(options.footage)
    data = write_dataset(clips, options.out / "data", every=options.every)
    began = time.monotonic()
    last = train(data, options.out, epochs=options.epochs, width=options.width)
    minutes = (time.monotonic() - began) / 60
    weights = options.out / "vehicles.pt"
    strip(last, weights)
    held_back = [clip for clip in clips if clip.split == "test"]
    scores = {
        name: {
            field: round(getattr(result, field), 4)
            for field in ("ap50", "precision", "recall", "frames", "boxes")
        }
        for name, result in (
            ("as annotated", score(weights, held_back, lenient=False)),
            ("without slivers and the unlabelled distance", score(weights, held_back, lenient=True)),
        )
    }
    report = {"minutes": round(minutes, 1), "bytes": weights.stat().st_size, "test": scores}
    (options.out / "scores.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
