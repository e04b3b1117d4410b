"""Small models of ultralytics' own designs with random weights, and what ultralytics itself finds with them."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from nightday.engines.detection.detections import Detection
from nightday.engines.detection.masks import Outline
from nightday.engines.detection.quiet_ultralytics import import_ultralytics

CLIPS = Path(__file__).parents[2] / "benchmarks" / "clips"
NAMES = {0: "car", 1: "bus", 2: "person"}
IMAGE_SIZE = 320


def real_frames() -> np.ndarray:
    """Two frames by night and two by day, uint8 (4, 288, 352, 3)."""
    return np.stack([frame for clip in sorted(CLIPS.glob("*.mp4"))[:2] for frame in _read(clip, (0, 50))])


def _read(clip: Path, indices: tuple[int, ...]) -> list[np.ndarray]:
    with av.open(str(clip)) as container:
        decoded = enumerate(container.decode(video=0))
        wanted = [frame.to_ndarray(format="rgb24") for index, frame in decoded if index in indices]
    assert len(wanted) == len(indices)
    return wanted


def write_model(path: Path, frames: np.ndarray, design: str = "yolov8n.yaml", **checkpoint: Any) -> Path:
    """Writes a tiny model of one of ultralytics' own designs, with random weights that find something."""
    import_ultralytics()
    from ultralytics.nn.tasks import DetectionModel, SegmentationModel, yaml_model_load

    seed = random.randrange(2**31)
    print(f"{design}: torch seed {seed}")
    torch.manual_seed(seed)
    plan = yaml_model_load(design)
    if "scales" in plan:
        plan["scales"] = {"n": [0.33, 0.125, 512]}
    kind = SegmentationModel if "-seg" in design else DetectionModel
    model = kind(plan, nc=len(NAMES), verbose=False)
    model.names = dict(NAMES)
    with torch.no_grad():
        for name, layer in model.model[-1].named_modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == len(NAMES):
                assert layer.bias is not None
                torch.nn.init.normal_(layer.weight, std=0.5)
                torch.nn.init.constant_(layer.bias, -1.0)
            elif isinstance(layer, torch.nn.Conv2d) and "cv2" in name and layer.bias is not None:
                torch.nn.init.normal_(layer.weight, std=0.3)
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # the statistics of the next pass as they are
        model.train()(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255)  # so that layers tell pixels apart
    about = {"imgsz": IMAGE_SIZE, "task": "segment" if "-seg" in design else "detect"}
    torch.save({"model": model.half(), "train_args": about, **checkpoint}, path)
    return path


def predict(path: Path, frames: np.ndarray, folder: Path, **settings: Any) -> list[list[Detection]]:
    """What ultralytics itself says, less the boxes that have no area within the picture."""
    from ultralytics import YOLO
    from ultralytics.nn.autobackend import AutoBackend
    from ultralytics.utils import nms

    bgr = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    with pytest.MonkeyPatch.context() as patch:
        try:
            import torchvision  # noqa: F401
        except (ImportError, RuntimeError):  # its compiled operators do not load beside every build of torch
            # The warm-up, a run on nothing, imports it in passing; without it predict uses its own suppression.
            patch.setattr(AutoBackend, "warmup", lambda self, **_: None)
        # On a busy machine it would end early, with what it has so far.
        patch.setattr(nms, "time", SimpleNamespace(time=lambda: 0.0))
        results = YOLO(path).predict(bgr, verbose=False, project=str(folder), device="cpu", **settings)
    return [
        [
            Detection(
                result.names[int(index)],
                float(score),
                (x1, y1, x2, y2),
                outline=tuple((float(x), float(y)) for x, y in outline),
            )
            for (x1, y1, x2, y2), score, index, outline in zip(
                result.boxes.xyxy.tolist(),
                result.boxes.conf,
                result.boxes.cls,
                _outlines(result),
                strict=True,
            )
            if x2 > x1 and y2 > y1
        ]
        for result in results
    ]


def _outlines(result: Any) -> list[Any]:
    """The largest piece of each mask, on the picture."""
    from ultralytics.utils import ops

    if result.masks is None:
        return [()] * len(result.boxes)
    masks = result.masks.data
    segments = ops.masks2segments(masks, strategy="largest")
    return [ops.scale_coords(masks.shape[1:], segment, result.orig_shape) for segment in segments]


def assert_same(mine: list[list[Detection]], theirs: list[list[Detection]]) -> None:
    """The same boxes in each picture, in any order: equal scores are sorted by their last digits.

    Of outlines nine of ten must cover the same. Those of random weights are frayed: a pixel more may join two pieces.
    """
    alike = []
    assert [len(found) for found in mine] == [len(found) for found in theirs]
    for found, expected in zip(mine, theirs, strict=True):
        left = list(expected)
        for one in found:
            other = min(left, key=lambda other: _difference(one, other))
            left.remove(other)
            assert one.label == other.label
            assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
            assert one.box == pytest.approx(other.box, abs=0.05)
            alike.append(_alike(one.outline, other.outline))
    assert sum(alike) >= 0.9 * len(alike)


def _difference(one: Detection, other: Detection) -> tuple[bool, float]:
    corners = max(abs(a - b) for a, b in zip(one.box, other.box, strict=True))
    return one.label != other.label, corners + 1000 * abs(one.confidence - other.confidence)


def _alike(one: Outline, other: Outline) -> bool:
    """Whether two outlines cover the same, but for pixels at their edges."""
    if not one or not other:
        return one == other
    covered = []
    for outline in (one, other):
        canvas = np.zeros((600, 800), np.uint8)
        cv2.fillPoly(canvas, [np.rint(np.array(outline)).astype(np.int32)], (1,))
        covered.append(canvas > 0)
    shared, either = (covered[0] & covered[1]).sum(), (covered[0] | covered[1]).sum()
    return bool(either - shared <= 2 + 0.05 * either)
