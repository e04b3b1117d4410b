"""A model that was trained without a fixed camera serves a camera that moves, and nothing calls that a fault."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from nightday.engines.model.checkpoint import FIXED_CAMERA, save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.load import load_config
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.scene.model_scene import of_fixed_camera, scene_of
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision.camera import Camera
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.engine_swap import difference
from nightday.pipeline.supervision.model_check import model_faults
from nightday.pipeline.supervision.runtime import run
from tests.support.clips import make_clip
from tests.support.engines import EngineStub
from tests.support.models import first_frame
from tests.support.rtsp_server import WAIT


def checkpoint(path: Path, *, fixed: bool) -> Path:
    """A model whose nights are of a mirrored street, which no clip shows."""
    torch.manual_seed(0)
    night = np.ascontiguousarray(cv2.flip(first_frame("day_tfl_09731_a1_barnet.mp4"), 1) // 3)
    save_checkpoint(
        path,
        NightToDay(GeneratorSettings(blocks=1, width=4)),
        training={FIXED_CAMERA: fixed},
        qualification_frames=pack([night]),
    )
    return path


def written(folder: Path, **keys: object) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(yaml.safe_dump({"cameras": [{"name": "car", "translate": "always", **keys}]}))
    return path


def test_check_does_not_compare_its_scene_and_names_what_needs_a_fixed_camera(tmp_path: Path) -> None:
    clip = str(Path("benchmarks/clips/night_a1_barnet_simulated.mp4").resolve())
    fixed, moving = (
        checkpoint(tmp_path / f"{word}.pt", fixed=word == "fixed") for word in ("fixed", "moving")
    )
    (fault,) = model_faults(load_config(written(tmp_path, url=clip, model=str(fixed))))
    assert "was made for another scene" in fault
    assert model_faults(load_config(written(tmp_path, url=clip, model=str(moving)))) == []
    assert scene_of(fixed) is not None
    assert scene_of(moving) is None
    assert (of_fixed_camera(fixed), of_fixed_camera(moving)) == (True, False)
    assert of_fixed_camera(tmp_path / "none.pt")
    asked = {"overlay": "trust", "background": {"save": "out/empty.png"}}
    found = model_faults(load_config(written(tmp_path, url=clip, model=str(moving), **asked)))
    assert ["leave `background` out" in found[0], "leave `overlay` out" in found[1]] == [True, True]
    assert all("was trained without a fixed camera (--background mean)" in line for line in found)


@pytest.mark.parametrize("fixed", [True, False])
def test_no_background_is_kept_and_it_is_said(
    fixed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same model as of a fixed camera keeps one."""
    caplog.set_level(logging.INFO)
    make_clip(tmp_path / "drive.mp4", 50)
    config = Config.model_validate(
        {
            "cameras": [
                {
                    "name": "car",
                    "url": str(tmp_path / "drive.mp4"),
                    "pace": "fast",
                    "translate": "always",
                    "model": str(checkpoint(tmp_path / "model.pt", fixed=fixed)),
                    "background": {"save": str(tmp_path / "empty.png"), "every_s": 0.04, "frames": 3},
                }
            ]
        }
    )
    outcome = run(config, engines={tmp_path / "model.pt": EngineStub()}, duration=WAIT)
    assert outcome.cause == "finished"
    said = [record.__dict__.get("event") for record in caplog.records]
    assert ("camera_not_fixed" in said) is not fixed
    assert (tmp_path / "empty.png").exists() is fixed


def test_a_model_of_the_other_kind_is_more_than_another_engine(tmp_path: Path) -> None:
    engine, other = EngineStub(), EngineStub()
    models = [checkpoint(tmp_path / f"{n}.pt", fixed=n == 0) for n in range(3)]
    configs = [
        Config.model_validate({"cameras": [{"name": "car", "url": "rtsp://127.0.0.1:9/s", "model": str(m)}]})
        for m in models
    ]
    camera = Camera(
        configs[1].cameras[0],
        engine=engine,
        detector=None,
        ready=threading.Condition(),
        commands=CommandQueue(),
        publish=lambda _: None,
        clock=SystemClock(),
    )
    try:
        found = [
            difference(camera, each.cameras[0], Setup(each, engines={model: other}))
            for each, model in zip(configs, models, strict=True)
        ]
    finally:
        camera.stop_reading()
        camera.finish_outputs()
    assert found == ["more", "engine", "engine"]
