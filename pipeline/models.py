"""Loads what a configuration names: generators and detectors, each once."""

from __future__ import annotations

from pathlib import Path

from engines import CheckpointError, EngineError, load_engine
from pipeline.config_faults import ConfigError
from pipeline.config_file import LoadedConfig
from pipeline.line import Detect
from pipeline.runtime import Setup
from pipeline.translator import Translate

_Version = tuple[Path, int, int, int, str, str]


class Models:
    """Keeps what it has loaded, so that a reload gives cameras the very same objects unless a file changed."""

    def __init__(self) -> None:
        self._engines: dict[_Version, Translate] = {}
        self._detectors: dict[_Version, Detect] = {}

    def setup(self, loaded: LoadedConfig) -> Setup:
        """What ``loaded`` needs, in place of what was kept before. Raises ConfigError with every fault."""
        settings = loaded.config.engine
        engines: dict[Path, Translate] = {}
        detectors: dict[Path, Detect] = {}
        kept_engines: dict[_Version, Translate] = {}
        kept_detectors: dict[_Version, Detect] = {}
        faults: dict[str, None] = {}  # an ordered set
        for index, camera in enumerate(loaded.config.cameras):
            model = camera.model
            if model is not None and camera.translate != "never" and model not in engines:
                try:
                    version = _version(model, settings.backend, settings.precision)
                    engine = self._engines.get(version) or load_engine(
                        model, settings.backend, settings.precision
                    )
                    engines[model] = kept_engines[version] = engine
                except (CheckpointError, OSError) as error:
                    faults[loaded.fault(("cameras", index, "model"), str(error))] = None
                except EngineError as error:
                    key = "precision" if str(error).startswith("precision") else "backend"
                    faults[loaded.fault(("engine", key), str(error))] = None
            if camera.detect and camera.detect not in detectors:
                from pipeline.detector import DetectorError, load_detector  # ultralytics, where it is used

                try:
                    version = _version(camera.detect)
                    detector = self._detectors.get(version) or load_detector(str(camera.detect))
                    detectors[camera.detect] = kept_detectors[version] = detector
                except (DetectorError, OSError) as error:
                    faults[loaded.fault(("cameras", index, "detect"), str(error))] = None
        if faults:
            raise ConfigError(list(faults))
        self._engines, self._detectors = kept_engines, kept_detectors
        return Setup(loaded.config, engines, detectors)


def _version(path: Path, backend: str = "", precision: str = "") -> _Version:
    found = path.stat()
    return (path, found.st_ino, found.st_mtime_ns, found.st_size, backend, precision)
