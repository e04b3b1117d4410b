"""What a start and a reload load, and what they go on with."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import yaml

from nightday.engines import load_engine
from nightday.engines.errors import EngineError
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.load import load_config
from nightday.pipeline.config.schema import EngineConfig
from nightday.pipeline.serving.model_loader import ModelLoader
from nightday.pipeline.serving.prebuild import is_measured
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.translation.pending_engine import PendingEngine
from tests.support.engines import EngineStub


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


class Start:
    """A configuration of one camera with this model, as the start of a run loads it."""

    def __init__(self, *, backgrounds: bool = False, **engine: str) -> None:
        torch.manual_seed(0)
        save_checkpoint("gate.pt", NightToDay(GeneratorSettings(blocks=1, width=4, backgrounds=backgrounds)))
        camera = {"name": "gate", "url": "rtsp://10.0.0.5/s", "model": "gate.pt"}
        Path("cameras.yaml").write_text(yaml.safe_dump({"cameras": [camera], "engine": engine}))
        self.models, self.loaded = ModelLoader(), load_config("cameras.yaml")

    def pending(self) -> PendingEngine:
        engine = self.models.begin(self.loaded).engines[Path("gate.pt")]
        assert isinstance(engine, PendingEngine)
        return engine


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was built in a process of its own, and loaded; neither is really done."""
    monkeypatch.chdir(tmp_path)
    done: list[Any] = []

    def load_engine(model: Path, *_: object, **__: object) -> EngineStub:
        done.append(model)
        return EngineStub()

    monkeypatch.setattr("nightday.pipeline.serving.model_loader.load_engine", load_engine)
    monkeypatch.setattr(
        "nightday.pipeline.serving.model_loader.prebuild_engine",
        lambda model, sizes, _, *, gives_way: done.append(set(sizes)),
    )
    return done


@pytest.mark.parametrize("backgrounds", [False, True])
def test_a_start_builds_nothing_until_it_is_told_and_a_reload_goes_on_with_what_was_built(
    built: list[Any], backgrounds: bool
) -> None:
    start = Start(backgrounds=backgrounds, backend="eager")
    pending = start.pending()
    assert (built, pending.needs_backgrounds, pending.info.model) == ([], backgrounds, "gate.pt")
    assert not pending.prepared(48, 64)
    with pytest.raises(RuntimeError, match=r"gate\.pt: engine is being prepared"):
        pending(np.zeros((1, 48, 64, 3), np.uint8))
    engine = pending.build(lambda: pytest.fail("there is nothing to measure"))
    assert built == [set(), Path("gate.pt")]
    assert start.models.setup(start.loaded).engines[Path("gate.pt")] is engine


def test_reuse_is_handed_on_and_a_reload_that_changes_it_loads_another_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[object] = []

    def load_engine(*_: object, reuse: bool, **__: object) -> EngineStub:
        asked.append(reuse)
        return EngineStub()

    monkeypatch.setattr("nightday.pipeline.serving.model_loader.load_engine", load_engine)
    start = Start(backend="eager")
    running = start.models.setup(start.loaded).engines[Path("gate.pt")]
    for reuse, same in (("off", False), ("auto", True)):
        settings = {"backend": "eager", "reuse": reuse}
        again = yaml.safe_load(Path("cameras.yaml").read_text()) | {"engine": settings}
        Path("cameras.yaml").write_text(yaml.safe_dump(again))
        engine = start.models.setup(load_config("cameras.yaml")).engines[Path("gate.pt")]
        assert (engine is running) == same
    assert asked == [True, False]


def test_what_has_to_be_measured_is_built_ahead_for_what_the_cameras_send(
    built: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightday.pipeline.serving.model_loader.is_measured", lambda *_: False)
    Start().pending().build(lambda: {(48, 64), (288, 352)})
    assert built == [{(48, 64), (288, 352)}, Path("gate.pt")]


@pytest.mark.parametrize("measured_at_once", [True, False])
def test_what_was_built_in_a_process_of_its_own_is_not_measured_in_this_one(
    built: list[Any], monkeypatch: pytest.MonkeyPatch, measured_at_once: bool
) -> None:
    sizes = {(48, 64)}
    built_beside: list[set[tuple[int, int]]] = []
    measured_for: list[float] = []
    module = "nightday.pipeline.serving.model_loader"

    def prebuild_engine(_: Path, given: set[tuple[int, int]], __: object, *, gives_way: bool) -> bool:
        assert not gives_way  # there is no engine to give way to
        built_beside.append(given)
        return True

    def load_engine(*_: object, measure_for: float, **__: object) -> EngineStub:
        measured_for.append(measure_for)
        return EngineStub()

    monkeypatch.setattr(f"{module}.is_measured", lambda *_: measured_at_once and bool(built_beside))
    monkeypatch.setattr(f"{module}.prebuild_engine", prebuild_engine)
    monkeypatch.setattr(f"{module}.load_engine", load_engine)
    Start().pending().build(lambda: sizes)
    assert built_beside == [sizes] * (1 if measured_at_once else 2)
    assert measured_for == [0.0]


def test_what_can_be_told_at_once_is_told_before_a_camera_opens(built: list[Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Start(backend="tensorrt").pending()
    assert str(caught.value).startswith("cameras.yaml:6: engine.backend: ")
    start = Start()
    Path("gate.pt").write_bytes(b"no checkpoint")
    with pytest.raises(
        ConfigError, match=r"cameras\.yaml:2: cameras\[0\]\.model: gate\.pt: not a checkpoint"
    ):
        start.pending()
    assert built == []


def test_what_only_building_shows_is_told_with_its_place(
    built: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise EngineError("precision fp32: another picture", setting="precision")

    monkeypatch.setattr("nightday.pipeline.serving.model_loader.load_engine", refuse)
    pending = Start(backend="eager", precision="fp32").pending()
    with pytest.raises(ConfigError) as caught:
        pending.build(set)
    assert str(caught.value) == "cameras.yaml:7: engine.precision: precision fp32: another picture"


def test_what_was_measured_before_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Start()
    assert is_measured(Path("gate.pt"), EngineConfig(backend="eager"))  # there is no choice
    settings = EngineConfig(backend="openvino", precision="fp32")
    assert not is_measured(Path("gate.pt"), settings)
    load_engine("gate.pt", "openvino", "fp32")
    assert is_measured(Path("gate.pt"), settings)
    assert not is_measured(Path("gate.pt"), settings.model_copy(update={"reuse": "off"}))
    Start(backgrounds=True)  # another model
    assert not is_measured(Path("gate.pt"), settings)


@pytest.mark.parametrize(
    ("there", "backend", "device"),
    [(True, "eager", "cuda"), (True, "openvino", None), (False, "eager", None)],
)
def test_frames_are_decoded_from_the_first_one_on_where_the_engine_will_take_them(
    built: list[Any], monkeypatch: pytest.MonkeyPatch, there: bool, backend: str, device: str | None
) -> None:
    start = Start(backend=backend)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(
        "nightday.pipeline.serving.model_loader.check_engine", lambda *_, **__: None
    )  # asks the GPU
    found = start.pending().device
    assert (None if found is None else found.type) == device
