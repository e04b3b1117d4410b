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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nightday.engines.detection.detector import load_detector
from nightday.engines.detection.letterbox import PADDING
from nightday.engines.detection.quiet_ultralytics import import_ultralytics
from nightday.train.scores.detection_scores import (
    LEAST,
    Boxes,
    DetectionScore,
    far_zone,
    read_boxes,
    score_detections,
    thinner_side,
)

IMAGE_SIZE = 352
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
                clips.append(Clip(path, row["split"], read_boxes(table)))
    return clips


def write_dataset(clips: Sequence[Clip], out: Path, *, every: int) -> Path:
    """Write every ``every``-th frame of the clips in YOLO's layout under ``out``; the path of its data.yaml."""
    counts: dict[str, int] = defaultdict(int)
    for number, clip in enumerate(clips):
        for index, rgb, boxes in clip.frames():
            if index % every:
                continue
            height, width = rgb.shape[:2]
            if clip.split == "train":
                rgb[far_zone(clip.boxes.values(), height, width)] = PADDING
            name = f"{number}_{index:05d}"
            images, labels = out / "images" / clip.split, out / "labels" / clip.split
            images.mkdir(parents=True, exist_ok=True)
            labels.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(images / f"{name}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            kept = boxes[thinner_side(boxes) >= LEAST]
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


def score(weights: Path, clips: Sequence[Clip], *, lenient: bool) -> DetectionScore:
    """Score a detector on every frame of ``clips``; see ``score_detections``."""
    detector = load_detector(weights, confidence=0.001, device="cpu")
    frames = [frame for clip in clips for frame in clip.frames()]
    return score_detections(
        detector, [rgb for _, rgb, _ in frames], [boxes for *_, boxes in frames], lenient=lenient
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("footage", type=Path, help="folder with manifest.csv, clips and boxes")
    parser.add_argument("out", type=Path, help="folder for data set, run, vehicles.pt and scores.json")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--every", type=int, default=3, help="use every n-th frame of the training clips")
    parser.add_argument("--width", type=float, default=WIDTH, help="channels, as a share of yolov8x's")
    options = parser.parse_args()
    options.out = options.out.resolve()  # ultralytics puts a relative one under a folder of its own
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
        name: {field: round(value, 4) for field, value in asdict(result).items()}
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
