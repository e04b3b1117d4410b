"""The stage that looks for objects on the pictures as they will be shown."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection

from ..core.pixels import stack
from ..core.stages import BatchItem, Detector, StageCamera

# Every so many rows are compared first: pictures that differ mostly do so there.
COMPARED = 16


@dataclass(slots=True, eq=False)
class _Asked:
    """The last picture of a camera that a detector has looked at.

    Attributes:
        detector: the one that did.
        picture: a copy of the picture, uint8 (H, W, 3) RGB.
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


class DetectStage:
    """Gives each picture its detections; pictures of one detector go through it together.

    A picture that is the same, byte for byte, as the last one of its camera that was looked at has the same
    detections, and the detector is not asked again. Pictures on a GPU are always looked at, as comparing them there
    would have the worker wait for it.

    Where the detector fails, the pictures go on without detections. One stage serves all workers, since a detector
    is not made for several threads.
    """

    def __init__(self) -> None:
        self._running = threading.Lock()
        # Each camera's is changed by the worker that has its frame.
        self._asked: WeakKeyDictionary[StageCamera, _Asked] = WeakKeyDictionary()

    def __call__(self, items: Sequence[BatchItem]) -> Sequence[BatchItem]:
        """See ``Stage``."""
        groups: dict[int, tuple[Detector, list[BatchItem]]] = {}
        for item in items:
            detector = item.camera.detector
            if detector is not None and not self._found_before(detector, item):
                groups.setdefault(id(detector), (detector, []))[1].append(item)
        for detector, group in groups.values():
            self._detect(detector, group)
        return items

    def _found_before(self, detector: Detector, item: BatchItem) -> bool:
        """Give the item what was found on the picture before it, if that is the same; whether that was so."""
        asked = self._asked.get(item.camera)
        if asked is None or not isinstance(item.day, np.ndarray):
            return False
        if not asked.is_of(detector, item.day):
            return False
        _take(item, asked.found)
        item.camera.stats.count_detections_reused()
        return True

    def _detect(self, detector: Detector, items: Sequence[BatchItem]) -> None:
        try:
            with self._running:
                found = detector(stack([item.day for item in items], device=detector.device, why="detector"))
            for item, detections in zip(items, found, strict=True):
                _take(item, detections)
                if isinstance(item.day, np.ndarray):  # which is drawn into afterwards
                    self._asked[item.camera] = _Asked(detector, item.day.copy(), detections)
                item.camera.faults.end("detect")
        except Exception as error:
            for item in items:
                self._asked.pop(item.camera, None)
                item.camera.faults.begin("detect", "detector_failed", f"detection failed: {error}")


def _take(item: BatchItem, detections: Sequence[Detection]) -> None:
    item.detections = detections
    item.camera.stats.count_detections([detection.label for detection in detections])
