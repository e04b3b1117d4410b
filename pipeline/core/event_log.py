"""Events as log lines.

The names are the ``event`` of the JSON log, on which scripts and alarms rely.
"""

from __future__ import annotations

import logging
from typing import Any

from .camera_url import redact
from .control import Translate
from .events import (
    BackgroundChanged,
    EngineChanged,
    Event,
    FileBegun,
    FileFinished,
    NightChanged,
    Notice,
    OutputChanged,
    SourceChanged,
    TranslateChanged,
)

log = logging.getLogger("nightday.events")

TRANSLATES: dict[Translate, str] = {
    "night": "its nights are translated from now on",
    "always": "all its frames are translated from now on",
    "never": "nothing of it is translated from now on",
}


def to_log(event: Event) -> None:
    """Write an event as one log record, with its name and values as the record's attributes."""
    name, text, level = name_of(event), _text(event), _level(event)
    extra: dict[str, Any] = {"event": name}
    for key in ("camera", "cameras", "output", "reason", "files", "bytes"):
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
        case BackgroundChanged():
            return f"background_{event.step}"
        case EngineChanged():
            return f"engine_{event.step}"
        case Notice():
            return event.name
    raise TypeError(f"{type(event).__name__}: no event that has a name")


def _text(event: Event) -> str:
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
        case BackgroundChanged() | EngineChanged() | Notice():
            return event.detail
    return name_of(event)


def _why(event: SourceChanged | OutputChanged) -> str:
    return "" if event.reason is None else f" ({event.reason}: {event.detail})"


def _level(event: Event) -> int:
    match event:
        case SourceChanged(state="stopped"):
            return logging.INFO
        case SourceChanged() | OutputChanged():
            return logging.INFO if event.reason is None else logging.WARNING
        case BackgroundChanged():
            return logging.INFO if event.step in ("restored", "learnt") else logging.WARNING
        case EngineChanged():
            return logging.INFO if event.reason is None else logging.WARNING
        case FileBegun() | FileFinished():
            return logging.DEBUG
        case Notice():
            return {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[event.level]
    return logging.INFO
