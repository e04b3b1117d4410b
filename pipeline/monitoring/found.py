"""What is where on a camera's pictures, as JSON and as metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..core.camera_url import redact
from ..core.found import FoundSnapshot
from ..core.status import CameraStatus


def found_json(found: FoundSnapshot) -> dict[str, Any]:
    """What is in sight now, and what has crossed the lines; null where nothing is looked for, or not followed."""
    lines: dict[str, dict[str, dict[str, int]]] = {}
    for (line, direction, label), count in found.crossings.items():
        lines.setdefault(line, {"in": {}, "out": {}})[direction][label] = count
    return {
        "objects": None if None not in found.now else dict(found.now[None]),
        "zones": {zone: dict(counts) for zone, counts in found.now.items() if zone is not None},
        "lines": lines,
        "tracks": found.tracks_now,
        "tracks_since_start": dict(found.tracks),
    }


def found_metrics(cameras: Sequence[CameraStatus]) -> Iterator[Metric]:
    """The same as metrics."""
    objects = GaugeMetricFamily(
        "nightday_objects",
        "Objects in sight, in a zone or (zone is empty) in the whole picture.",
        labels=("camera", "zone", "label"),
    )
    followed = GaugeMetricFamily(
        "nightday_objects_followed", "Objects that are followed from picture to picture.", labels=("camera",)
    )
    seen = CounterMetricFamily(
        "nightday_tracks", "Objects that were followed, each once.", labels=("camera", "label")
    )
    crossings = CounterMetricFamily(
        "nightday_line_crossings",
        "Objects that crossed a line.",
        labels=("camera", "line", "direction", "label"),
    )
    for camera in cameras:
        found = camera.stats.found
        for zone, counts in found.now.items():
            for label, count in counts.items():
                objects.add_metric((camera.name, zone or "", redact(label)), count)
        if found.tracks_now is not None:
            followed.add_metric((camera.name,), found.tracks_now)
        for label, count in found.tracks.items():
            seen.add_metric((camera.name, redact(label)), count)
        for (line, direction, label), count in found.crossings.items():
            crossings.add_metric((camera.name, line, direction, redact(label)), count)
    return iter((objects, followed, seen, crossings))
