"""Opens the detectors that cameras ask for, and tells which of their classes a model does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..config.detection import DetectConfig, DetectorChoice
from ..config.messages import nearest
from ..config.yaml_document import KeyPath
from ..core.stages import Detector

# Classes of a model that a message names.
NAMED = 20


def open_detector(choice: DetectorChoice) -> Detector:
    """A detector; raises DetectorError where it is none."""
    # ultralytics, only where it is used
    from nightday.engines.detection.detector import load_detector
    from nightday.engines.detection.python_detector import PythonDetector

    if isinstance(choice.model, Path):
        return load_detector(choice.model, confidence=choice.confidence, iou=choice.iou)
    return PythonDetector(choice.model)


def class_faults(detect: DetectConfig, detector: Detector) -> Iterator[tuple[KeyPath, str]]:
    """Classes that a camera asks for and its detector does not know: the place below ``detect``, and a sentence."""
    known = detector.classes
    if known is None:
        return
    places: list[tuple[KeyPath, tuple[str, ...]]] = [(("classes",), detect.classes)]
    places += [(("zones", name, "classes"), zone.classes) for name, zone in detect.zones.items()]
    for place, labels in places:
        for index, label in enumerate(labels):
            if label not in known:
                listed = ", ".join([*known][:NAMED]) + (", …" if len(known) > NAMED else "")
                way_out = nearest(label, [*known]) or f"; it knows: {listed}"
                yield (*place, index), f'"{label}" is no class of {detect.model}{way_out}'
