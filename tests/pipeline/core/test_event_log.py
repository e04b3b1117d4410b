"""Events of detection as lines of the log."""

from __future__ import annotations

import io
import json
from types import MappingProxyType
from typing import Any

import pytest

from nightday.pipeline.core.event_log import name_of, to_log
from nightday.pipeline.core.events import CountsChanged, Event, LineCrossed, TrackChanged
from nightday.pipeline.monitoring.log_stream import Screen, set_up_logging

ABOUT: Any = {"camera": "gate", "track": 7, "label": "person", "at": 1.8e9}
SEEN: Any = ABOUT | {"confidence": 0.8, "view": "both"}

CASES: list[tuple[Event, str, str, dict[str, object]]] = [
    (
        CountsChanged(camera="gate", zone="yard", counts=MappingProxyType({"person": 2, "car": 1}), at=1.8e9),
        "counts_changed",
        "gate: 1 car, 2 person in yard",
        {"zone": "yard", "counts": {"person": 2, "car": 1}},
    ),
    (
        CountsChanged(camera="gate", zone=None, counts={}, at=1.8e9),
        "counts_changed",
        "gate: nothing in the picture",
        {"counts": {}},
    ),
    (
        TrackChanged(step="appeared", **SEEN),
        "object_appeared",
        "gate: person 7 appeared",
        {"track": 7, "label": "person"},
    ),
    (
        TrackChanged(step="gone", seconds=12.5, **SEEN),
        "object_gone",
        "gate: person 7 gone",
        {"track": 7, "label": "person"},
    ),
    (
        TrackChanged(step="entered", zone="yard", **SEEN),
        "zone_entered",
        "gate: person 7 entered yard",
        {"track": 7, "label": "person", "zone": "yard"},
    ),
    (
        TrackChanged(step="left", zone="yard", **SEEN),
        "zone_left",
        "gate: person 7 left yard",
        {"track": 7, "label": "person", "zone": "yard"},
    ),
    (
        LineCrossed(line="drive", direction="in", **ABOUT),
        "line_crossed",
        "gate: person 7 crossed drive in",
        {"line": "drive", "direction": "in", "track": 7, "label": "person"},
    ),
]


@pytest.mark.parametrize(
    ("event", "name", "text", "values"), CASES, ids=[f"{name} {text}" for _, name, text, _ in CASES]
)
def test_an_event_of_detection_is_a_line_with_its_values(
    event: Event, name: str, text: str, values: dict[str, object]
) -> None:
    assert name_of(event) == name
    written = io.StringIO()
    screen = Screen(written, log_format="json")
    set_up_logging(screen, verbose=True)
    to_log(event)
    set_up_logging(screen)
    assert screen.flush(20)
    line = json.loads(written.getvalue())
    assert line.pop("time")
    expected = {
        "level": "debug",
        "event": name,
        "message": text,
        "logger": "nightday.events",
        "camera": "gate",
    }
    assert line == expected | values
