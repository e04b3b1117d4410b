"""Segmentation, and models that ultralytics has exported, against ultralytics' own predict on real frames."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nightday.engines.detection import exported
from nightday.engines.detection.detections import Detection
from nightday.engines.detection.detector import load_detector
from nightday.engines.errors import DetectorError
from tests.support.tiny_detectors import IMAGE_SIZE, NAMES, assert_same, predict, real_frames, write_model

Export = Callable[..., Path]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    # predict, which is only the reference here, sets torch's number of threads, and sums differ with that number
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return real_frames()[::2]


def write_that_finds(path: Path, frames: np.ndarray, design: str, **settings: Any) -> list[list[Detection]]:
    """Writes a model that finds something on each frame; gives what."""
    for _ in range(10):  # some random weights find too little to compare
        write_model(path, frames, design)
        found = predict(path, frames, path.parent, **settings)
        if all(len(one) >= 3 for one in found):
            return found
    raise AssertionError("the reference found nothing to compare")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory, frames: np.ndarray) -> Export:
    """Exports a model that finds something."""

    def export(design: str, kind: str, **settings: Any) -> Path:
        from ultralytics import YOLO

        path = tmp_path_factory.mktemp("export") / "model.pt"
        write_that_finds(path, frames, design, conf=0.9)
        more = {"simplify": False} if kind == "onnx" else {}
        made = YOLO(path).export(
            format=kind, imgsz=IMAGE_SIZE, verbose=False, device="cpu", **more, **settings
        )
        return Path(made)

    return export


@pytest.mark.parametrize(
    ("design", "settings"),
    [("yolov8n-seg.yaml", {"conf": 0.8}), ("yolo11n-seg.yaml", {"conf": 0.9, "iou": 0.3})],
)
def test_masks_and_boxes_are_those_of_predict(
    frames: np.ndarray, tmp_path: Path, design: str, settings: dict[str, float]
) -> None:
    theirs = write_that_finds(tmp_path / "model.pt", frames, design, **settings)
    detector = load_detector(
        tmp_path / "model.pt",
        confidence=settings.get("conf", 0.25),
        iou=settings.get("iou", 0.7),
        device="cpu",
    )
    mine = detector(frames)
    assert_same(mine, theirs)
    assert all(one.outline for found in mine for one in found)
    outlines = np.array([point for found in mine for one in found for point in one.outline])
    assert (outlines >= 0).all()
    assert (outlines <= (352, 288)).all()


@pytest.mark.parametrize(
    ("design", "kind", "settings"),
    [
        ("yolov8n.yaml", "openvino", {}),
        ("yolov8n-seg.yaml", "openvino", {"dynamic": True}),
        ("yolov8n.yaml", "onnx", {"dynamic": True}),
        ("yolov8n-seg.yaml", "onnx", {}),
    ],
)
def test_exports_find_what_predict_finds(
    export: Export, frames: np.ndarray, tmp_path: Path, design: str, kind: str, settings: dict[str, Any]
) -> None:
    path = export(design, kind, **settings)
    # Random weights find hundreds of things, whose masks take their time.
    confidence = 0.9 if "seg" in design else 0.25
    detector = load_detector(path, confidence=confidence, device="cpu")
    assert detector.names == NAMES
    assert detector.image_size == (IMAGE_SIZE, IMAGE_SIZE)
    theirs = predict(
        path, frames, tmp_path, imgsz=IMAGE_SIZE, conf=confidence
    )  # of a dynamic export it would take 640
    assert sum(map(len, theirs)) >= 3
    assert_same(detector(frames), theirs)
    assert len(detector(frames[:1])) == 1
    if path.is_dir():  # as it stands in the configuration, with or without the slash
        assert load_detector(f"{path}/", device="cpu").classes == tuple(NAMES.values())


@pytest.fixture(scope="module")
def made(export: Export) -> Path:
    return export("yolov8n.yaml", "openvino")


def test_an_export_for_another_task_without_classes_or_what_it_needs_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, bare = tmp_path / "pose_openvino_model", tmp_path / "bare_openvino_model"
    for copy in (other, bare):
        shutil.copytree(made, copy)
    about = (made / "metadata.yaml").read_text()
    (other / "metadata.yaml").write_text(about.replace("task: detect", "task: pose"))
    (bare / "metadata.yaml").unlink()
    (tmp_path / "model.onnx").write_bytes(b"no model at all")
    for path, said in (
        (other, "not a detection model but one for pose; give a detection model"),
        (bare, "tells neither its task nor its classes"),
        (tmp_path / "model.onnx", "tells neither its task nor its classes"),
        (tmp_path / "none.engine", "no such detection model"),
    ):
        with pytest.raises(DetectorError) as caught:
            load_detector(path, device="cpu")
        assert str(caught.value).startswith(f"{path}: {said}")
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(exported.NEEDS, "_openvino_model", "nosuchmodule")
    with pytest.raises(DetectorError, match="needs nosuchmodule; install it with: pip install nosuchmodule"):
        load_detector(made, device="cpu")


def test_an_export_that_is_cut_off_is_refused(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cut_openvino_model"
    shutil.copytree(made, copy)
    (weights,) = copy.glob("*.bin")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DetectorError, match="cannot be loaded") as caught:
        load_detector(copy, device="cpu")
    assert "\n" not in str(caught.value)


def test_an_export_has_the_size_it_was_made_with() -> None:
    with pytest.raises(ValueError, match="the size and the head it was made with"):
        load_detector("any_openvino_model", image_size=320, device="cpu")
