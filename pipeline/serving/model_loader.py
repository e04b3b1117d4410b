"""Loads what a configuration names: generators and detectors, each once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from weakref import WeakValueDictionary

import torch

from nightday.engines import load_engine
from nightday.engines.backends.base import Engine
from nightday.engines.errors import CheckpointError, DetectorError, EngineError
from nightday.engines.model.checkpoint import read_checkpoint
from nightday.engines.selection.load import MEASURED_S, check_engine

from ..config.detection import DetectorChoice
from ..config.errors import ConfigError
from ..config.load import LoadedConfig
from ..config.schema import EngineConfig
from ..core.stages import Detector
from ..translation.pending_engine import PendingEngine, Sizes
from .detectors import class_faults, open_detector
from .prebuild import is_measured, prebuild_engine
from .setup import Setup

_T = TypeVar("_T")

_Version = tuple[object, ...]
"""What a loaded model depends on: its file as it is now, and what was asked for."""

_Sizes = Mapping[str, tuple[int, int]]
"""(height, width) of what cameras send, by their names."""


class ModelLoader:
    """Remembers what it has loaded while that is in use, so that a reload gives cameras the very same objects.

    A file that changed is loaded again. The loader itself keeps nothing alive: what runs is held by the run, whatever
    was loaded since and refused.
    """

    def __init__(self) -> None:
        # A reload may ask for an engine that is being built for the start.
        self._building = threading.Lock()
        self._engines: WeakValueDictionary[_Version, Engine] = WeakValueDictionary()
        self._pending: WeakValueDictionary[_Version, PendingEngine] = WeakValueDictionary()
        self._detectors: WeakValueDictionary[_Version, Detector] = WeakValueDictionary()

    def begin(self, loaded: LoadedConfig) -> Setup:
        """What ``loaded`` needs, so that no camera waits for an engine: those not loaded yet are still to be built.

        Raises ConfigError with every fault that can be told without compiling or measuring an engine.
        """
        engines, detectors = _for_each_model(
            loaded, lambda model: self._loaded_or_pending(model, loaded), self._detector
        )
        return Setup(loaded.config, engines, detectors)

    def setup(self, loaded: LoadedConfig, *, sizes: _Sizes = MappingProxyType({})) -> Setup:
        """What ``loaded`` needs. Raises ConfigError with every fault.

        ``sizes`` are (height, width) of what running cameras send, by their names. Engines that are new to them are
        built for these sizes in a process of its own first, since the cameras need this one.
        """
        settings = loaded.config.engine
        engines, detectors = _for_each_model(
            loaded,
            lambda model: self._engine(model, settings, _sent_to(model, loaded, sizes), gives_way=True),
            self._detector,
        )
        return Setup(loaded.config, engines, detectors)

    def check(self, loaded: LoadedConfig) -> None:
        """Raise ConfigError with what can be told wrong of the models without compiling or measuring an engine."""
        _for_each_model(loaded, lambda model: _check(model, loaded.config.engine), self._detector)

    def _loaded_or_pending(self, model: Path, loaded: LoadedConfig) -> Engine:
        version = _engine_version(model, loaded.config.engine)
        engine = self._engines.get(version)
        if engine is not None:
            return engine
        pending = self._pending.get(version)
        if pending is None or pending.fault:
            pending = self._pending[version] = self._new_pending(model, loaded)
        return pending

    def _new_pending(self, model: Path, loaded: LoadedConfig) -> PendingEngine:
        settings = loaded.config.engine
        _check(model, settings)
        on_gpu = torch.cuda.is_available() and settings.backend != "openvino"
        return PendingEngine(
            model.name,
            needs_backgrounds=bool(read_checkpoint(model)["settings"].get("backgrounds")),
            device=torch.device("cuda") if on_gpu else None,
            build=partial(self._build, model, loaded),
        )

    def _build(self, model: Path, loaded: LoadedConfig, sizes: Sizes) -> Engine:
        """See ``PendingEngine``."""
        settings = loaded.config.engine
        try:
            # What was measured before is loaded in less time than a process of its own takes to start.
            ahead = set() if is_measured(model, settings) else set(sizes())
            return self._engine(model, settings, ahead, gives_way=False)
        except (CheckpointError, EngineError, OSError) as error:
            named = (one.checkpoint == model for one in loaded.config.cameras)
            raise ConfigError([_engine_fault(loaded, list(named).index(True), error)]) from None

    def _engine(
        self, model: Path, settings: EngineConfig, sizes: set[tuple[int, int]], *, gives_way: bool
    ) -> Engine:
        with self._building:
            version = _engine_version(model, settings)
            engine = self._engines.get(version)
            if engine is None:
                built = prebuild_engine(model, sizes, settings, gives_way=gives_way)
                if built and not is_measured(model, settings):  # the time for it was up
                    built = prebuild_engine(model, sizes, settings, gives_way=gives_way)
                engine = load_engine(
                    model,
                    settings.backend,
                    settings.precision,
                    max_batch=settings.max_batch,
                    reuse=settings.reuse == "auto",
                    # What was measured in this process would keep hundreds of megabytes in it.
                    measure_for=0.0 if built else MEASURED_S,
                )
                self._engines[version] = engine
            return engine

    def _detector(self, choice: DetectorChoice) -> Detector:
        version: _Version = choice
        if isinstance(choice.model, Path):
            version = _version(choice.model, choice.confidence, choice.iou)
        detector = self._detectors.get(version)
        if detector is None:
            detector = self._detectors[version] = open_detector(choice)
        return detector


def _for_each_model(
    loaded: LoadedConfig, engine_of: Callable[[Path], _T], detector_of: Callable[[DetectorChoice], Detector]
) -> tuple[dict[Path, _T], dict[DetectorChoice, Detector]]:
    """What each generator and each detector that a camera needs is made into. Raises ConfigError with every fault."""
    engines: dict[Path, _T] = {}
    detectors: dict[DetectorChoice, Detector] = {}
    faults: dict[str, None] = {}  # an ordered set
    for index, camera in enumerate(loaded.config.cameras):
        model = camera.checkpoint
        if model is not None and model not in engines:
            try:
                engines[model] = engine_of(model)
            except (CheckpointError, EngineError, OSError) as error:
                faults[_engine_fault(loaded, index, error)] = None
        if camera.detect:
            choice = camera.detect.detector
            try:
                if choice not in detectors:
                    detectors[choice] = detector_of(choice)
                for place, message in class_faults(camera.detect, detectors[choice]):
                    faults[loaded.fault(("cameras", index, "detect", *place), message)] = None
            except (DetectorError, OSError) as error:
                faults[loaded.fault(("cameras", index, "detect", "model"), str(error))] = None
    if faults:
        raise ConfigError(list(faults))
    return engines, detectors


def _check(model: Path, settings: EngineConfig) -> None:
    check_engine(model, settings.backend, settings.precision, max_batch=settings.max_batch)


def _engine_fault(loaded: LoadedConfig, index: int, error: Exception) -> str:
    """What is wrong with the model of the camera at ``index``, with its place in the file."""
    place = ("engine", error.setting) if isinstance(error, EngineError) else ("cameras", index, "model")
    return loaded.fault(place, str(error))


def _sent_to(model: Path, loaded: LoadedConfig, sizes: _Sizes) -> set[tuple[int, int]]:
    """The sizes that cameras of a model send."""
    return {sizes[one.name] for one in loaded.config.cameras if one.checkpoint == model and one.name in sizes}


def _engine_version(model: Path, settings: EngineConfig) -> _Version:
    return _version(model, settings.backend, settings.precision, settings.max_batch, settings.reuse)


def _version(path: Path, *asked: str | float) -> _Version:
    found = path.stat()
    return (path, found.st_ino, found.st_mtime_ns, found.st_size, *asked)
