"""Classes that a camera asks for and its detector does not know."""

from __future__ import annotations

from nightday.pipeline.config.detection import DetectConfig
from nightday.pipeline.serving.detectors import class_faults
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
