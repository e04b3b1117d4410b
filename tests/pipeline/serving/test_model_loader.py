"""What a reload loads again, and what it goes on with."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.load import load_config
from nightday.pipeline.serving.model_loader import ModelLoader
from nightday.pipeline.serving.setup import Setup


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Setup]:
    """Has one ``ModelLoader`` load what a configuration of one camera with this checkpoint needs."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for name in ("old.pt", "new.pt"):
        save_checkpoint(name, NightToDay(GeneratorSettings(blocks=1, width=4)))
    models = ModelLoader()

    def setup(model: str) -> Setup:
        camera = {"name": "gate", "url": "rtsp://10.0.0.5/s", "model": model}
        Path("cameras.yaml").write_text(yaml.safe_dump({"cameras": [camera], "engine": {"backend": "eager"}}))
        return models.setup(load_config("cameras.yaml"))

    return setup


def test_what_runs_is_not_loaded_again_after_a_set_that_was_refused(load: Callable[[str], Setup]) -> None:
    running = load("old.pt")
    load("new.pt")  # refused, e.g. since its port cannot be had
    assert load("old.pt").engines[Path("old.pt")] is running.engines[Path("old.pt")]


def test_nothing_is_kept_that_nothing_uses(load: Callable[[str], Setup]) -> None:
    engine = weakref.ref(load("old.pt").engines[Path("old.pt")])
    gc.collect()
    assert engine() is None
