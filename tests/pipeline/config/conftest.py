"""A folder to be in, and functions that read a configuration there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.cli import checkpoint_fault
from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.load import LoadedConfig, load_config
from tests.pipeline.config.documents import SECRET, Faults, Load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint and something to play."""
    folder = tmp_path_factory.mktemp("config")
    torch.manual_seed(0)
    save_checkpoint(folder / "gate.pt", NightToDay(GeneratorSettings(blocks=1, width=4)))
    (folder / "clip.mp4").write_bytes(b"not looked into")
    (folder / "text.pt").write_text("not a checkpoint")
    return folder


@pytest.fixture
def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(folder)

    def load(text: str | bytes, *overrides: str, **environment: str) -> LoadedConfig:
        data = text if isinstance(text, bytes) else text.encode()
        (folder / "cameras.yaml").write_bytes(data)
        return load_config(
            "cameras.yaml", overrides=overrides, environment=environment, check_model=checkpoint_fault
        )

    return load


@pytest.fixture
def faults(load: Load) -> Faults:
    def faults(text: str | bytes, *overrides: str, **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as error:
            load(text, *overrides, **environment)
        for fault in error.value.faults:
            assert "\n" not in fault
            assert "Traceback" not in fault
            assert SECRET not in fault
        return list(error.value.faults)

    return faults
