"""A detector that anybody wrote in Python."""

from __future__ import annotations

import importlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import torch

from ..device_copies import Pixels, on_host
from ..errors import DetectorError
from .detections import Detection

# Most classes that a detector may find: each is counted and becomes a metric.
MOST_CLASSES = 1000


class PythonDetector:
    """What ``package.module:name`` names, which is called with uint8 RGB pictures (n, h, w, 3) as an array.

    It gives a list of ``Detection`` for each picture. A class is called without arguments once, and what that gives
    is the detector. It is called by one thread at a time. If it has an attribute ``names``, its classes as a list or
    as a mapping from their numbers, a configuration is checked against these. Its module is imported as by any
    Python program, from what is installed and from ``PYTHONPATH``.

    Args:
        entry_point: the name.

    Raises:
        DetectorError: it cannot be imported, or is nothing that can be called.
    """

    device: torch.device | None = None
    """It takes arrays only."""

    def __init__(self, entry_point: str) -> None:
        self._name = entry_point
        module, _, attribute = entry_point.partition(":")
        try:
            found: object = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
            detect = found() if isinstance(found, type) else found
            names = getattr(detect, "names", None)
            self.classes: Collection[str] | None = None if names is None else _classes(names)
        except Exception as error:  # it is anybody's code
            why = " ".join(str(error).split()) or type(error).__name__
            raise DetectorError(
                f"{entry_point}: cannot be loaded: {why}; give a function or class of a module that Python finds"
            ) from error
        if not callable(detect):
            raise DetectorError(f"{entry_point}: is a {type(detect).__name__}; give a function or a class")
        self._detect = detect
        self._found: set[str] = set()

    def __call__(self, rgb: Pixels) -> list[list[Detection]]:
        """Detections on uint8 RGB pictures (N, H, W, 3), the most confident first, boxes cut at the border.

        Raises ValueError where what it gives is something else.
        """
        if not len(rgb):
            return []
        answer: Iterable[Iterable[Detection]] = self._detect(on_host(rgb, "detector"))
        found = [list(one) for one in answer]
        if len(found) != len(rgb):
            raise ValueError(f"{self._name} gave {len(found)} lists for {len(rgb)} pictures")
        size = rgb.shape[1], rgb.shape[2]
        return [sorted(self._checked(one, size), key=lambda seen: -seen.confidence) for one in found]

    def _checked(self, found: list[Detection], size: tuple[int, int]) -> list[Detection]:
        checked = []
        for one in found:
            if not isinstance(one, Detection):
                raise ValueError(f"{self._name} gave a {type(one).__name__} in place of a Detection")
            if len(one.box) != 4 or not all(map(math.isfinite, (*one.box, one.confidence))):
                raise ValueError(f"{self._name} gave a detection with {one.confidence} at {one.box}")
            x1, y1, x2, y2 = (
                min(max(float(edge), 0.0), float(limit))
                for edge, limit in zip(one.box, (size[1], size[0]) * 2, strict=True)
            )
            if x2 > x1 and y2 > y1:
                label = str(one.label)
                if label not in self._found and len(self._found) == MOST_CLASSES:
                    raise ValueError(f"{self._name} gave more than {MOST_CLASSES} classes")
                self._found.add(label)
                checked.append(
                    replace(one, label=label, confidence=float(one.confidence), box=(x1, y1, x2, y2))
                )
        return checked


def _classes(names: object) -> tuple[str, ...]:
    values = names.values() if isinstance(names, Mapping) else names
    assert isinstance(values, Iterable)
    return tuple(str(name) for name in values)
