"""Classes that a camera asks for and its detector does not know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nightday.engines.detection.python_detector import PythonDetector
from nightday.pipeline.config.detection import DetectConfig
from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.load import LoadedConfig, load_config
from nightday.pipeline.serving.detectors import class_faults
from nightday.pipeline.serving.model_loader import ModelLoader
from tests.support.engines import DetectorStub

CLASSES = ("person", "bicycle", "car")


def faults(detect: DetectConfig, classes: tuple[str, ...] | None) -> list[tuple[object, str]]:
    detector = DetectorStub(lambda frames: [[] for _ in frames])
    detector.classes = classes
    return list(class_faults(detect, detector))


def test_unknown_classes_are_told_with_the_nearest_and_their_place() -> None:
    zones = {"yard": {"points": [[0, 0], [1, 0], [0, 1]], "classes": ["cat"]}}
    detect = DetectConfig.model_validate(
        {"model": "own:find", "classes": ["car", "persn", "cat"], "zones": zones}
    )
    assert faults(detect, CLASSES) == [
        (("classes", 1), '"persn" is no class of own:find; did you mean "person"?'),
        (("classes", 2), '"cat" is no class of own:find; did you mean "car"?'),
        (("zones", "yard", "classes", 0), '"cat" is no class of own:find; did you mean "car"?'),
    ]
    assert faults(detect, None) == []


def test_what_a_model_knows_is_listed_in_part() -> None:
    detect = DetectConfig.model_validate({"model": "own:find", "classes": ["zzz"]})
    ((_, message),) = faults(detect, tuple(f"thing {number}" for number in range(80)))
    assert message.startswith('"zzz" is no class of own:find; it knows: thing 0, thing 1, ')
    assert message.endswith("thing 19, …")


OWN = """\
class Find:
    names = ["person", "car"]

    def __call__(self, rgb):
        return [[] for _ in rgb]
"""
CAMERA = """\
  - name: {name}
    url: rtsp://10.0.0.5/s
    translate: never
    detect:
      model: {model}
      classes: [{classes}]
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadedConfig]:
    """Reads a configuration of cameras with a name, a model and classes each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "loaderdetector", raising=False)
    Path("loaderdetector.py").write_text(OWN)

    def load(*cameras: tuple[str, str, str]) -> LoadedConfig:
        texts = [CAMERA.format(name=name, model=model, classes=classes) for name, model, classes in cameras]
        Path("cameras.yaml").write_text("cameras:\n" + "".join(texts))
        return load_config("cameras.yaml")

    return load


def test_what_is_wrong_with_detectors_is_told_with_its_line(load: Callable[..., LoadedConfig]) -> None:
    loaded = load(
        ("gate", "loaderdetector:Find", "car"),
        ("yard", "loaderdetector:Find", "car, persn"),
        ("roof", "loaderdetector:Nothing", "car"),
    )
    with pytest.raises(ConfigError) as caught:
        ModelLoader().check(loaded)
    unknown, missing = caught.value.faults
    assert unknown == (
        'cameras.yaml:13: cameras[1].detect.classes[1]: "persn" is no class of loaderdetector:Find; '
        'did you mean "person"?'
    )
    assert missing.startswith(
        "cameras.yaml:18: cameras[2].detect.model: loaderdetector:Nothing: cannot be loaded: "
    )


def test_cameras_that_ask_for_the_same_share_a_detector(load: Callable[..., LoadedConfig]) -> None:
    loaded = load(("gate", "loaderdetector:Find", "car"), ("yard", "loaderdetector:Find", "person"))
    loader = ModelLoader()
    setup = loader.setup(loaded)
    gate, yard = (setup.detector_of(camera) for camera in loaded.config.cameras)
    assert gate is yard
    assert isinstance(gate, PythonDetector)
    assert loader.setup(loaded).detector_of(loaded.config.cameras[0]) is gate  # also after a reload
