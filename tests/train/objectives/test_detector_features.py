"""A detector's feature maps as a measure of likeness, on ultralytics' own design with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from nightday.engines.detection.model_file import read_model
from nightday.engines.detection.quiet_ultralytics import import_ultralytics
from nightday.engines.errors import DetectorError
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.scene import Scene, read_frames, temporal_median
from nightday.train.objectives.detector_features import DetectorFeatures
from nightday.train.run.settings import TrainSettings
from nightday.train.run.trainer import Trainer

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_ultralytics()
    from ultralytics.nn.tasks import DetectionModel, yaml_model_load

    torch.manual_seed(0)
    plan = yaml_model_load("yolov8n.yaml")
    plan["scales"] = {"n": [0.33, 0.125, 512]}
    model = DetectionModel(plan, nc=1, verbose=False)
    path = tmp_path_factory.mktemp("detector") / "model.pt"
    torch.save({"model": model.half(), "train_args": {"imgsz": 352}}, path)
    return path


def test_maps_are_what_the_head_decides_from(detector: Path) -> None:
    features = DetectorFeatures(detector)
    pictures = torch.rand(2, 3, 96, 128)
    maps = features(pictures)
    assert [tuple(each.shape[-2:]) for each in maps] == [(12, 16), (6, 8), (3, 4)]
    whole: Any = read_model(detector)
    taken = whole.model[-1]([each.clone() for each in maps])
    direct = whole(pictures)
    torch.testing.assert_close(taken[0], direct[0])
    grown = features(torch.rand(1, 3, 90, 100))  # no multiples of the stride
    assert [tuple(each.shape[-2:]) for each in grown] == [(12, 16), (6, 8), (3, 4)]


def test_what_differs_more_is_farther_and_gradients_reach_the_picture_alone(detector: Path) -> None:
    features = DetectorFeatures(detector)
    day = torch.from_numpy(read_frames(CLIP)[0][:96, :128]).permute(2, 0, 1)[None].float() / 255
    noise = torch.randn_like(day)
    made = [(day + level * noise).clamp(0, 1).requires_grad_() for level in (0.0, 0.02, 0.2)]
    far = [features.difference(each, day) for each in made]
    same, near, away = (float(each.detach()) for each in far)
    assert same < 1e-5 < near < away
    torch.autograd.backward(far[2])
    assert made[2].grad is not None
    assert made[2].grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in features.parameters())


def test_training_brings_the_detectors_maps_nearer(detector: Path, tmp_path: Path) -> None:
    frames = [cv2.resize(f, (160, 128), interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::24]]
    scene = Scene("tiny", frames, [], temporal_median(frames))
    settings = TrainSettings(
        generator=GeneratorSettings(blocks=1, width=8, norm="batch", invariant_radius=4), steps=400, pairs=2,
        crop=(64, 96), paired_weight=0.0, detector=str(detector), detector_weight=1.0,
    )  # fmt: skip
    trainer = Trainer(scene, settings, tmp_path)
    terms = [trainer.run_step()["detector"] for _ in range(60)]
    print(f"distance {np.mean(terms[:5]):.3f}, then {np.mean(terms[-10:]):.3f}")
    assert np.mean(terms[-10:]) < 0.8 * np.mean(terms[:5])
    with pytest.raises(ValueError, match="needs a detector"):
        replace(settings, detector=None)


def test_no_detector_is_named(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="no such detection model"):
        DetectorFeatures(tmp_path / "nothing.pt")
