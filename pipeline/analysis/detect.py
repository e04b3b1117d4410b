"""The stage that looks for objects on the pictures as they will be shown, and as the camera saw them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection, View
from nightday.engines.device_copies import Pixels

from ..core.found import Followed
from ..core.pixels import stack
from ..core.stages import BatchItem, Detector, StageCamera
from .merge_views import merge_views

# Every so many rows are compared first: pictures that differ mostly do so there.
COMPARED = 16


@dataclass(slots=True, eq=False)
class _Asked:
    """The last picture of a camera and a view that a detector has looked at.

    Attributes:
        detector: the one that did.
        picture: the picture, uint8 (H, W, 3) RGB.
        found: what it found there.
    """

    detector: Detector
    picture: NDArray[np.uint8]
    found: Sequence[Detection]

    def is_of(self, detector: Detector, picture: NDArray[np.uint8]) -> bool:
        """Whether this detector was asked about the very same picture."""
        mine = self.picture
        return (
            self.detector is detector
            and np.array_equal(mine[::COMPARED], picture[::COMPARED])
            and np.array_equal(mine, picture)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Last:
    """What was found on a picture of ``size`` (height, width)."""

    size: tuple[int, int]
    detections: Sequence[Detection]
    followed: Followed | None


@dataclass(slots=True, eq=False)
class _Seen:
    """What is kept of a camera between its pictures.

    Attributes:
        asked: the last picture of each view.
        passed: how many pictures have come since the last that was looked at.
        last: what was found on the last that was looked at; None before the first, and after a failure.
    """

    asked: dict[View, _Asked] = field(default_factory=dict)
    passed: int = 0
    last: _Last | None = None


@dataclass(slots=True, eq=False)
class _Question:
    """A view of a picture, and what was found on it, once that is known."""

    item: BatchItem
    view: View
    picture: Pixels
    found: Sequence[Detection] | None = None


class DetectStage:
    """Gives each picture its detections; pictures and views of one detector go through it together.

    A view that is the same, byte for byte, as the last one of its camera that was looked at has the same
    detections, and the detector is not asked again. Pictures on a GPU are always looked at, as comparing them there
    would have the worker wait for it. A picture between those that are looked at has what was found before.

    Where the detector fails, the pictures go on without detections. One stage serves all workers, since a detector
    is not made for several threads.
    """

    def __init__(self) -> None:
        self._running = threading.Lock()
        # Each camera's is changed by the worker that has its frame.
        self._seen: WeakKeyDictionary[StageCamera, _Seen] = WeakKeyDictionary()

    def __call__(self, items: Sequence[BatchItem]) -> Sequence[BatchItem]:
        """See ``Stage``."""
        asked: list[tuple[BatchItem, list[_Question]]] = []
        groups: dict[tuple[int, tuple[int, ...]], tuple[Detector, list[_Question]]] = {}
        for item in items:
            detector = item.camera.detector
            if detector is None or self._is_between(item):
                continue
            questions = [_Question(item, view, picture) for view, picture in _views(item)]
            asked.append((item, questions))
            for question in questions:
                if not self._found_before(detector, question):
                    key = id(detector), tuple(question.picture.shape)
                    groups.setdefault(key, (detector, []))[1].append(question)
        for detector, group in groups.values():
            self._detect(detector, group)
        for item, questions in asked:
            found = {one.view: one.found for one in questions if one.found is not None}
            if len(found) == len(questions):
                self._take(item, found)
        return items

    def _is_between(self, item: BatchItem) -> bool:
        """Whether the picture is not looked at; it then has what was found on the last that was."""
        seen = self._seen.setdefault(item.camera, _Seen())
        last, seen.passed = seen.last, seen.passed + 1
        if last is None or seen.passed >= item.camera.looking.every or last.size != item.frame.size:
            seen.passed = 0
            return False
        item.detections, item.followed = last.detections, last.followed
        return True

    def _found_before(self, detector: Detector, question: _Question) -> bool:
        """Give the view what was found on the one before it, if that is the same; whether that was so."""
        camera = question.item.camera
        before = self._seen[camera].asked.get(question.view)
        if before is None or not isinstance(question.picture, np.ndarray):
            return False
        if not before.is_of(detector, question.picture):
            return False
        question.found = before.found
        camera.stats.count_detections_reused()
        return True

    def _detect(self, detector: Detector, questions: Sequence[_Question]) -> None:
        try:
            with self._running:
                pictures = [question.picture for question in questions]
                answers = detector(stack(pictures, device=detector.device, why="detector"))
            for question, found in zip(questions, answers, strict=True):
                question.found = found
                self._keep(detector, question)
                question.item.camera.faults.end("detect")
        except Exception as error:
            for question in questions:
                question.found = None
                camera = question.item.camera
                self._seen[camera] = _Seen()
                camera.faults.begin("detect", "detector_failed", f"detection failed: {error}")

    def _keep(self, detector: Detector, question: _Question) -> None:
        item, picture = question.item, question.picture
        if isinstance(picture, np.ndarray) and question.found is not None:
            # What is shown is drawn into afterwards, what was seen is not.
            kept = picture if picture is item.seen else picture.copy()
            self._seen[item.camera].asked[question.view] = _Asked(detector, kept, question.found)

    def _take(self, item: BatchItem, found: Mapping[View, Sequence[Detection]]) -> None:
        """Give the item what counts of what was found on its views."""
        camera, looking = item.camera, item.camera.looking
        shown: dict[View, list[Detection]] = {}
        faint: list[Detection] = []
        for view, detections in found.items():
            shown[view] = []
            for one in detections:
                if not looking.classes or one.label in looking.classes:
                    kind = shown[view] if one.confidence > looking.confidence else faint
                    kind.append(one if one.view == view else replace(one, view=view))
        if "day" in shown and "night" in shown:
            item.detections = merge_views(shown["day"], shown["night"])
        else:
            item.detections = next(iter(shown.values()))
        camera.follow(item, faint)
        camera.stats.count_detections([one.label for one in item.detections])
        self._seen[camera].last = _Last(item.frame.size, item.detections, item.followed)


def _views(item: BatchItem) -> list[tuple[View, Pixels]]:
    """What a camera's detector looks at. A picture that is shown as it was seen is one for both views."""
    on = item.camera.looking.on
    if on == "both":
        if item.day is item.seen:
            return [("both", item.seen)]
        return [("day", item.day), ("night", item.seen)]
    return [(on, item.day if on == "day" else item.seen)]
