"""Detectors that anybody wrote in Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nightday.engines.detection import python_detector
from nightday.engines.detection.detections import Detection
from nightday.engines.detection.python_detector import PythonDetector
from nightday.engines.errors import DetectorError

Write = Callable[[str], None]
HEAD = "from nightday.engines.detection.detections import Detection\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the module ``owndetector``, which Python then finds."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "owndetector", raising=False)

    def written(text: str) -> None:
        (tmp_path / "owndetector.py").write_text(HEAD + text)

    return written


def pictures(count: int = 2) -> np.ndarray:
    return np.arange(count * 20 * 30 * 3, dtype=np.int64).reshape(count, 20, 30, 3).astype(np.uint8)


def test_a_function_is_given_pictures_and_gives_detections(write: Write) -> None:
    write(
        "def detect(rgb):\n"
        "    assert rgb.dtype == 'uint8' and rgb.shape[3] == 3\n"
        "    small = Detection('a', .2, (1, 2, 3, 4))\n"
        "    return [[small, Detection('b', float(one.mean()), (-5, 2, 99, 99))] for one in rgb]\n"
    )
    detector = PythonDetector("owndetector:detect")
    given = pictures()
    found = detector(given)
    assert found == [
        [
            Detection("b", float(one.mean()), (0.0, 2.0, 30.0, 20.0)),
            Detection("a", 0.2, (1.0, 2.0, 3.0, 4.0)),
        ]
        for one in given
    ]
    assert detector(torch.from_numpy(given)) == found
    assert detector(given[:0]) == []
    assert detector.classes is None


@pytest.mark.parametrize("names", ["['a', 'b']", "{0: 'a', 1: 'b'}", "('a', 'b')"])
def test_a_class_is_made_once_and_may_tell_its_names(write: Write, names: str) -> None:
    write(
        "class Own:\n"
        f"    names = {names}\n"
        "    made = 0\n"
        "    def __init__(self):\n"
        "        Own.made += 1\n"
        "    def __call__(self, rgb):\n"
        "        return [[Detection('a', .5 + Own.made / 10, (1, 2, 3, 4))] for _ in rgb]\n"
    )
    detector = PythonDetector("owndetector:Own")
    assert detector.classes == ("a", "b")
    for _ in range(2):
        assert detector(pictures(1))[0][0].confidence == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("", "owndetector:detect", "has no attribute 'detect'"),
        ("1 / 0\n", "owndetector:detect", "division by zero"),
        ("class A:\n    def __init__(self, path): pass\n", "owndetector:A", "missing 1 required positional"),
        ("detect = 3\n", "owndetector:detect", "is a int; give a function or a class"),
        ("", "no_such_module_at_all:detect", "No module named 'no_such_module_at_all'"),
    ],
)
def test_what_is_none_is_refused(write: Write, text: str, name: str, said: str) -> None:
    write(text)
    with pytest.raises(DetectorError) as caught:
        PythonDetector(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("[[]]", "gave 1 lists for 2 pictures"),
        ("[[('car', .5, (1, 2, 3, 4))], []]", "gave a tuple in place of a Detection"),
        ("[[Detection('a', .5, (1, 2, float('nan'), 4))], []]", "gave a detection with 0.5 at"),
        ("[[Detection('a', float('inf'), (1, 2, 3, 4))], []]", "gave a detection with inf at"),
    ],
)
def test_what_is_no_answer_is_an_error(write: Write, answer: str, said: str) -> None:
    write(f"def detect(rgb):\n    return {answer}\n")
    with pytest.raises(ValueError, match="owndetector:detect") as caught:
        PythonDetector("owndetector:detect")(pictures())
    assert said in str(caught.value)


def test_classes_are_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_detector, "MOST_CLASSES", 5)
    write(
        "names = iter(range(100))\n"
        "def detect(rgb):\n"
        "    return [[Detection(f'{next(names)}', .5, (1, 2, 3, 4))] for _ in rgb]\n"
    )
    detector = PythonDetector("owndetector:detect")
    for _ in range(5):
        detector(pictures(1))
    with pytest.raises(ValueError, match="more than 5 classes"):
        detector(pictures(1))
