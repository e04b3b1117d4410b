"""The stage that looks for objects on the pictures as they will be shown."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..core.pixels import stack
from ..core.stages import BatchItem, Detector


class DetectStage:
    """Gives each picture its detections; pictures of one detector go through it together.

    Where the detector fails, the pictures go on without detections. One stage serves all workers, since a detector
    is not made for several threads.
    """

    def __init__(self) -> None:
        self._running = threading.Lock()

    def __call__(self, items: Sequence[BatchItem]) -> Sequence[BatchItem]:
        """See ``Stage``."""
        groups: dict[int, tuple[Detector, list[BatchItem]]] = {}
        for item in items:
            detector = item.camera.detector
            if detector is not None:
                groups.setdefault(id(detector), (detector, []))[1].append(item)
        for detector, group in groups.values():
            self._detect(detector, group)
        return items

    def _detect(self, detector: Detector, items: Sequence[BatchItem]) -> None:
        try:
            with self._running:
                found = detector(stack([item.day for item in items], device=detector.device, why="detector"))
            for item, detections in zip(items, found, strict=True):
                item.detections = detections
                item.camera.stats.count_detections([detection.label for detection in detections])
                item.camera.faults.end("detect")
        except Exception as error:
            for item in items:
                item.camera.faults.begin("detect", "detector_failed", f"detection failed: {error}")
