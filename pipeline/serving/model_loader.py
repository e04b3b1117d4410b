"""Loads what a configuration names: generators and detectors, each once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from weakref import WeakValueDictionary

from nightday.engines import CheckpointError, EngineError, load_engine

from ..config.errors import ConfigError
from ..config.load import LoadedConfig
from ..supervision.runtime import Setup
from ..translation.channel import Detector
from ..translation.engine_call import Translate
from .prebuild import prebuild_engine

_Version = tuple[object, ...]


class ModelLoader:
    """Knows what it has loaded while that is in use, so that a reload gives cameras the very same objects.

    Unless a file changed. It holds nothing by itself: what runs is held by the run, whatever was loaded since and
    refused.
    """

    def __init__(self) -> None:
        self._engines: WeakValueDictionary[_Version, Translate] = WeakValueDictionary()
        self._detectors: WeakValueDictionary[_Version, Detector] = WeakValueDictionary()

    def setup(
        self, loaded: LoadedConfig, *, sizes: Mapping[str, tuple[int, int]] = MappingProxyType({})
    ) -> Setup:
        """What ``loaded`` needs. Raises ConfigError with every fault.

        ``sizes`` are (height, width) of what cameras that run send, by their names. What is new to them is built for
        these in a process of its own first, since they need this one.
        """
        settings = loaded.config.engine
        engines: dict[Path, Translate] = {}
        detectors: dict[Path, Detector] = {}
        faults: dict[str, None] = {}  # an ordered set
        for index, camera in enumerate(loaded.config.cameras):
            model = camera.model
            if model is not None and camera.translate != "never" and model not in engines:
                try:
                    version = _version(model, settings.backend, settings.precision, settings.max_batch)
                    engine = self._engines.get(version)
                    if engine is None:
                        theirs = {
                            sizes[one.name]
                            for one in loaded.config.cameras
                            if one.model == model and one.name in sizes
                        }
                        prebuild_engine(model, theirs, settings)
                        engine = load_engine(
                            model, settings.backend, settings.precision, max_batch=settings.max_batch
                        )
                    engines[model] = self._engines[version] = engine
                except (CheckpointError, OSError) as error:
                    faults[loaded.fault(("cameras", index, "model"), str(error))] = None
                except EngineError as error:
                    key = "precision" if str(error).startswith("precision") else "backend"
                    faults[loaded.fault(("engine", key), str(error))] = None
            if camera.detect and camera.detect not in detectors:
                from nightday.engines.detection.detector import load_detector
                from nightday.engines.errors import DetectorError

                try:
                    version = _version(camera.detect)
                    detector = self._detectors.get(version) or load_detector(str(camera.detect))
                    detectors[camera.detect] = self._detectors[version] = detector
                except (DetectorError, OSError) as error:
                    faults[loaded.fault(("cameras", index, "detect"), str(error))] = None
        if faults:
            raise ConfigError(list(faults))
        return Setup(loaded.config, engines, detectors)


def _version(path: Path, *asked: str | int) -> _Version:
    found = path.stat()
    return (path, found.st_ino, found.st_mtime_ns, found.st_size, *asked)
