"""Events as log lines.

The names are the ``event`` of the JSON log, on which scripts and alarms rely.
"""

from __future__ import annotations

import logging
from typing import Any, get_args

from .camera_url import redact
from .control import Translate
from .events import (
    BackgroundChanged,
    CountsChanged,
    EngineChanged,
    Event,
    FileBegun,
    FileFinished,
    LineCrossed,
    NightChanged,
    Notice,
    NoticeName,
    OutputChanged,
    OutputState,
    OwnModelChanged,
    OwnModelStep,
    SourceChanged,
    SourceState,
    TrackChanged,
    TranslateChanged,
)

log = logging.getLogger("nightday.events")

# Values of events that records have as attributes.
_VALUES = ("camera", "cameras", "output", "reason", "files", "bytes")
_DETECTION_VALUES = ("zone", "counts", "line", "direction", "track", "label")

TRANSLATES: dict[Translate, str] = {
    "night": "its nights are translated from now on",
    "always": "all its frames are translated from now on",
    "never": "nothing of it is translated from now on",
}

EVENT_NAMES: frozenset[str] = frozenset(
    (
        *(f"camera_{state}" for state in get_args(SourceState)),
        *(f"output_{state}" for state in get_args(OutputState)),
        *("file_begun", "file_finished", "night_began", "day_began", "translate_changed"),
        *("counts_changed", "line_crossed"),
        *("object_appeared", "object_gone", "zone_entered", "zone_left"),
        *(f"background_{step}" for step in ("restored", "dropped", "refused", "learnt", "unsettled")),
        *(f"engine_{step}" for step in ("offered", "swapped", "kept", "rolled_back")),
        *(f"own_model_{step}" for step in get_args(OwnModelStep)),
        *get_args(NoticeName),
    )
)
"""What events are called, all of them."""


def to_log(event: Event) -> None:
    """Write an event as one log record, with its name and values as the record's attributes."""
    name, text, level = name_of(event), text_of(event), level_of(event)
    extra: dict[str, Any] = {"event": name}
    for key in (*_VALUES, *_DETECTION_VALUES):
        value = getattr(event, key, None)
        if value is not None:
            extra[key] = list(value) if isinstance(value, tuple) else value
    who = event.camera or ", ".join(extra.get("cameras", ()))
    log.log(level, "%s", redact(f"{who}: {text}" if who else text), extra=extra)


def name_of(event: Event) -> str:
    """What an event is called, e.g. ``camera_playing``."""
    match event:
        case SourceChanged():
            return f"camera_{event.state}"
        case OutputChanged():
            return f"output_{event.state}"
        case FileBegun():
            return "file_begun"
        case FileFinished():
            return "file_finished"
        case NightChanged():
            return "night_began" if event.night else "day_began"
        case TranslateChanged():
            return "translate_changed"
        case CountsChanged():
            return "counts_changed"
        case TrackChanged():
            return f"{'zone' if event.zone else 'object'}_{event.step}"
        case LineCrossed():
            return "line_crossed"
        case BackgroundChanged():
            return f"background_{event.step}"
        case EngineChanged():
            return f"engine_{event.step}"
        case OwnModelChanged():
            return f"own_model_{event.step}"
        case Notice():
            return event.name
    raise TypeError(f"{type(event).__name__}: no event that has a name")


def text_of(event: Event) -> str:
    """What happened, in a sentence without the camera's name. Addresses in it may hold secrets: see ``redact``."""
    match event:
        case SourceChanged():
            return f"{event.state}{_why(event)} {event.source}".rstrip()
        case OutputChanged():
            return f"output {event.output} {event.state}{_why(event)}"
        case FileBegun():
            return f"writes {event.path}"
        case FileFinished():
            return f"wrote {event.path}"
        case NightChanged():
            light = f"(luma {event.luma:.0f}, colour {event.chroma:.1f})"
            return f"{'night' if event.night else 'day'} {light}"
        case TranslateChanged():
            return TRANSLATES[event.translate]
        case CountsChanged():
            counts = ", ".join(f"{count} {label}" for label, count in sorted(event.counts.items()))
            return f"{counts or 'nothing'} in {event.zone or 'the picture'}"
        case TrackChanged():
            return f"{event.label} {event.track} {event.step} {event.zone or ''}".rstrip()
        case LineCrossed():
            return f"{event.label} {event.track} crossed {event.line} {event.direction}"
        case BackgroundChanged() | EngineChanged() | OwnModelChanged() | Notice():
            return event.detail
    return name_of(event)


def _why(event: SourceChanged | OutputChanged) -> str:
    return "" if event.reason is None else f" ({event.reason}: {event.detail})"


def level_of(event: Event) -> int:
    """How serious an event is, as ``logging`` has it."""
    match event:
        case SourceChanged(state="stopped"):
            return logging.INFO
        case SourceChanged() | OutputChanged():
            return logging.INFO if event.reason is None else logging.WARNING
        case BackgroundChanged():
            return logging.INFO if event.step in ("restored", "learnt") else logging.WARNING
        case EngineChanged():
            return logging.INFO if event.reason is None else logging.WARNING
        case OwnModelChanged():
            return logging.INFO if event.step in ("training", "won", "lost") else logging.WARNING
        case FileBegun() | FileFinished() | CountsChanged() | TrackChanged() | LineCrossed():
            return logging.DEBUG
        case Notice():
            return {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[event.level]
    return logging.INFO
