"""``detect``: short and long form, and what is refused at start with its line."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.config.detection import DetectConfig, DetectorChoice, ZoneConfig
from tests.pipeline.config.documents import Faults, Load, one

YARD = "[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]"


def section(**keys: str) -> str:
    """A file whose camera has this ``detect`` section; the keys begin in line 7."""
    keys = {"model": "text.pt"} | keys
    return (
        one() + "    detect:\n" + "".join(f"      {key}: {value}\n" for key, value in keys.items() if value)
    )


def detect_of(loaded: object) -> DetectConfig:
    detect = loaded.config.cameras[0].detect  # type: ignore[attr-defined]
    assert isinstance(detect, DetectConfig)
    return detect


def test_a_path_is_short_for_a_section(load: Load) -> None:
    short, long = detect_of(load(one(detect="text.pt"))), detect_of(load(section()))
    assert short == long == DetectConfig(model=Path("text.pt"))
    assert (short.on, short.confidence, short.iou, short.every, short.track) == ("day", 0.25, 0.7, 1, False)
    for off in ("false", "no", "off", '"off"'):
        assert load(one(detect=off)).config.cameras[0].detect is False


def test_a_section(load: Load) -> None:
    text = section(
        classes="[car, person]",
        confidence="0.4",
        iou="0.5",
        on="both",
        zones=f"{{yard: {{points: {YARD}, classes: [person]}}}}",
        lines="{drive: {from: [0.5, 0.2], to: [0.5, 1]}}",
        every="2",
    )
    detect = detect_of(load(text))
    assert detect.classes == ("car", "person")
    assert detect.zones["yard"].points == ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9))
    assert detect.zones["yard"].classes == ("person",)
    assert (detect.lines["drive"].start, detect.lines["drive"].end) == ((0.5, 0.2), (0.5, 1.0))
    assert (detect.on, detect.every, detect.track) == ("both", 2, True)  # what crosses a line is followed
    assert detect.detector == DetectorChoice(Path("text.pt"), 0.2, 0.5)
    dumped = load(text).config.dump()["cameras"][0]["detect"]
    assert dumped["lines"] == {"drive": {"from": [0.5, 0.2], "to": [0.5, 1]}}
    assert (dumped["model"], dumped["track"]) == ("text.pt", True)


def test_defaults_are_worked_in_key_by_key_and_names_are_filled_in(load: Load) -> None:
    text = one() + "    detect: {confidence: 0.5}\n  - {name: yard, url: clip.mp4, detect: false}\n"
    text += '  - {name: text, url: clip.mp4, detect: "{name}.pt"}\n'
    text += "defaults:\n  detect: {model: text.pt, classes: [car]}\n"
    gate, yard, other = load(text).config.cameras
    assert gate.detect == DetectConfig(model=Path("text.pt"), classes=("car",), confidence=0.5)
    assert yard.detect is False
    assert other.detect == DetectConfig(model=Path("text.pt"), classes=("car",))
    changed = load(text, "cameras.gate.detect.confidence=0.7").config.cameras[0].detect
    assert changed
    assert changed.confidence == 0.7


def test_an_entry_point_is_no_path(load: Load) -> None:
    assert detect_of(load(one(detect="own.detector:Find"))).model == "own.detector:Find"
    assert detect_of(load(one(detect="own:find"))).detector.model == "own:find"


@pytest.mark.parametrize(
    ("keys", "line", "fault"),
    [
        ({"model": "", "on": "day"}, 6, "cameras[0].detect.model: missing"),
        ({"model": "."}, 7, 'cameras[0].detect.model: "." is a folder, not a model'),
        ({"model": "no.onnx"}, 7, 'cameras[0].detect.model: "no.onnx": no such model file'),
        ({"clases": "[car]"}, 8, 'cameras[0].detect.clases: unknown key; did you mean "classes"?'),
        ({"classes": "car"}, 8, 'cameras[0].detect.classes: must be a list, not "car"'),
        ({"classes": "[1]"}, 8, "cameras[0].detect.classes[0]: must be the name of a class"),
        ({"confidence": "1"}, 8, "cameras[0].detect.confidence: must be less than 1, not 1"),
        ({"iou": "-0.1"}, 8, "cameras[0].detect.iou: must be at least 0, not -0.1"),
        ({"on": "nite"}, 8, 'cameras[0].detect.on: must be day, night or both, not "nite"; did you mean'),
        ({"every": "0"}, 8, "cameras[0].detect.every: must be at least 1, not 0"),
        ({"track": "maybe"}, 8, 'cameras[0].detect.track: must be true or false, not "maybe"'),
        ({"zones": "[a]"}, 8, "cameras[0].detect.zones: must be"),
        (
            {"zones": f"{{a b: {{points: {YARD}}}}}"},
            8,
            "cameras[0].detect.zones.a b: must be 1 to 64 letters",
        ),
        (
            {"zones": f"{{yard: {{points: {YARD}, point: []}}}}"},
            8,
            "cameras[0].detect.zones.yard.point: unknown key; did you mean",
        ),
        ({"zones": "{location: {}}"}, 8, "cameras[0].detect.zones.location.points: missing"),
        (
            {"zones": "{yard: {points: [[0, 0], [1, 1]]}}"},
            8,
            "cameras[0].detect.zones.yard.points: a list has 2 points; a zone needs at least 3",
        ),
        (
            {"zones": "{yard: {points: [[0, 0], [1, 1.2], [0, 1]]}}"},
            8,
            "cameras[0].detect.zones.yard.points[1][1]: 1.2 is outside the picture; points are [x, y] as shares",
        ),
        (
            {"zones": "{yard: {points: [[0, 0], [640, 0], [0, 1]]}}"},
            8,
            "cameras[0].detect.zones.yard.points[1][0]: 640 is outside the picture",
        ),
        (
            {"zones": "{yard: {points: [[0, 0], [1], [0, 1]]}}"},
            8,
            "cameras[0].detect.zones.yard.points[1]: must be [x, y]",
        ),
        (
            {"zones": "{yard: {points: [[0, 0], [1, 1], [1, 0], [0, 1]]}}"},
            8,
            "cameras[0].detect.zones.yard.points: a list has edges 1 and 3 that cross each other",
        ),
        (
            {"zones": "{yard: {points: [[0, 0], [0.5, 0.5], [1, 1]]}}"},
            8,
            "cameras[0].detect.zones.yard.points: a list has ",
        ),
        (
            {"zones": "{yard: {points: [[0, 0], [1, 0], [1, 1], [0, 0]]}}"},
            8,
            "cameras[0].detect.zones.yard.points: a list has the point [0, 0] twice in a row",
        ),
        (
            {"zones": f"{{yard: {{points: {YARD}, classes: [cat]}}}}", "classes": "[car]"},
            8,
            "cameras[0].detect.zones: a mapping has 'cat' in yard, which is not among the classes",
        ),
        (
            {"lines": "{drive: {from: [0, 0]}}"},
            8,
            "cameras[0].detect.lines.drive.to: missing",
        ),
        (
            {"lines": "{drive: {from: [0, 0], to: [0, 0]}}"},
            8,
            "cameras[0].detect.lines.drive.to: a list is where the line begins",
        ),
        (
            {"lines": "{drive: {from: [0, 0], to: [1, 0]}}", "track": "false"},
            9,
            "cameras[0].detect.track: false is false, but what crosses a line has to be followed",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    faults: Faults, keys: dict[str, str], line: int, fault: str
) -> None:
    (found,) = faults(section(**keys))
    assert found.startswith(f"cameras.yaml:{line}: {fault}")


@pytest.mark.parametrize(
    ("lacks", "keys", "fault"),
    [
        (
            "trackers",
            {"track": "true"},
            "detect.track: true needs trackers, and so do lines; install it with: ",
        ),
        ("supervision", {"zones": f"{{a: {{points: {YARD}}}}}"}, "detect.zones: a mapping needs supervision"),
        (
            "trackers",
            {"lines": "{a: {from: [0, 0], to: [1, 0]}}"},
            "detect.track: True needs trackers, and so do",
        ),
        ("ultralytics", {}, 'detect.model: "text.pt": detection needs ultralytics; install it with: '),
    ],
)
def test_a_missing_extra_is_told(
    faults: Faults, monkeypatch: pytest.MonkeyPatch, lacks: str, keys: dict[str, str], fault: str
) -> None:
    spec = importlib.machinery.ModuleSpec("any", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == lacks else spec)
    (found,) = faults(section(**keys))
    assert f"cameras[0].{fault}" in found
    assert "pip install -c requirements.lock -e '.[detect" in found


def crosses_itself(points: list[tuple[float, float]]) -> bool:
    """Whether two edges that are no neighbours have a point in common, by solving for it."""
    edges = [(np.array(a), np.array(b)) for a, b in pairwise([*points, points[0]])]
    for at, (a, b) in enumerate(edges):
        for c, d in edges[at + 2 : len(edges) - (at == 0)]:
            shares = np.linalg.solve(np.stack((b - a, c - d), axis=1), c - a)
            if (shares >= 0).all() and (shares <= 1).all():
                return True
    return False


def test_polygons_that_cross_themselves_are_refused(rng: np.random.Generator) -> None:
    found = {True: 0, False: 0}
    for _ in range(300):
        points = [(float(x), float(y)) for x, y in rng.uniform(0, 1, (int(rng.integers(4, 7)), 2))]
        crosses = crosses_itself(points)
        found[crosses] += 1
        with pytest.raises(ValueError, match="cross each other") if crosses else nullcontext():
            ZoneConfig.model_validate({"points": points})
    assert min(found.values()) > 5
