from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from nightday.engines.errors import CheckpointError
from nightday.engines.model.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings

SETTINGS = GeneratorSettings(blocks=2, width=6, input="replace", norm="batch", invariant_radius=4)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "made" / "model.pt"
    save_checkpoint(path, NightToDay(SETTINGS), training={"seed": 3, "scene": "gate"})
    return path


def test_a_file_alone_is_enough(checkpoint: Path) -> None:
    model = load_checkpoint(checkpoint)
    assert model.settings == SETTINGS
    assert not model.training
    again = torch.load(checkpoint, weights_only=True)["state"]
    for key, value in model.state_dict().items():
        assert torch.equal(value, again[key])
    assert read_checkpoint(checkpoint)["training"] == {"seed": 3, "scene": "gate"}
    assert list(checkpoint.parent.iterdir()) == [checkpoint]  # no leftovers of the atomic write


class Malice:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.flag),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    flag, path = tmp_path / "was-run", tmp_path / "evil.pt"
    torch.save({"format": "nightday-checkpoint", "version": 1, "state": Malice(flag)}, path)
    with pytest.raises(CheckpointError, match=r"evil\.pt"):
        load_checkpoint(path)
    assert not flag.exists()
    pickle.loads(pickle.dumps(Malice(flag)))  # the file was indeed armed
    assert flag.exists()


def fault(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_what_is_not_a_checkpoint_is_named(checkpoint: Path, tmp_path: Path) -> None:
    assert "no such checkpoint" in fault(tmp_path / "missing.pt")
    assert "is a folder" in fault(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert "not a checkpoint" in fault(text)
    empty = tmp_path / "empty.pt"
    empty.touch()
    assert "not a checkpoint" in fault(empty)
    torn = tmp_path / "torn.pt"
    torn.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    assert "not a checkpoint" in fault(torn)
    other = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(3)}, other)
    assert "but not a nightday-checkpoint" in fault(other)


def test_settings_and_weights_that_do_not_fit(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)

    def rewritten(**changes: object) -> Path:
        path = checkpoint.with_name("changed.pt")
        torch.save({**content, **changes}, path)
        return path

    assert "version 99" in fault(rewritten(version=99))
    assert "do not fit" in fault(rewritten(settings={**content["settings"], "width": 8}))
    assert "do not fit" in fault(rewritten(settings={**content["settings"], "colour": "blue"}))
    assert "blocks=0" in fault(rewritten(settings={**content["settings"], "blocks": 0}))
    assert "do not fit" in fault(rewritten(state={}))
    assert "do not fit" in fault(rewritten(settings=None))
