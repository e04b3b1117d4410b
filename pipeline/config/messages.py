"""Faults of a configuration in words: one line each, with the place, the value as written and the way out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..core.camera_url import MASK, CameraUrl, redact
from .address_hints import address_hint
from .detection import DetectConfig, LineConfig, ZoneConfig
from .notify import EventsConfig, MqttConfig, WebhookConfig
from .output import OutputConfig
from .schema import (
    BackgroundConfig,
    CameraConfig,
    CollectConfig,
    Config,
    EngineConfig,
    HttpConfig,
    LearningConfig,
    RetentionConfig,
)
from .section import keys_of
from .yaml_document import Document, Fault, KeyPath, Place, shown

# Lines of faults shown: whoever has more has made one mistake everywhere.
MOST_FAULTS = 50
ANY_NAME = "*"
"""In the path of a section: what stands there is a name that the user gave."""
_SECTIONS: dict[KeyPath, type[BaseModel]] = {
    (): Config,
    ("cameras",): CameraConfig,
    ("cameras", "background"): BackgroundConfig,
    ("cameras", "collect"): CollectConfig,
    ("cameras", "detect"): DetectConfig,
    ("cameras", "detect", "lines", ANY_NAME): LineConfig,
    ("cameras", "detect", "zones", ANY_NAME): ZoneConfig,
    ("cameras", "outputs"): OutputConfig,
    ("cameras", "retention"): RetentionConfig,
    ("engine",): EngineConfig,
    ("learning",): LearningConfig,
    ("http",): HttpConfig,
    ("events",): EventsConfig,
    ("webhooks",): WebhookConfig,
    ("mqtt",): MqttConfig,
}
_LATER: dict[KeyPath, tuple[str, ...]] = {("cameras",): ("tracking",)}
URL_KEYS = ("url", "outputs")
SECRET_KEYS = ("token", "password", "secret")
LOCATION = "must be [latitude, longitude] in degrees, -90 to 90 and -180 to 180, e.g. [51.5, -0.1]"


def model_faults(error: ValidationError, document: Document, *, known: set[KeyPath]) -> Iterator[Fault]:
    """What pydantic found, in this project's words and at its line; none at the paths of ``known`` faults."""
    for details in error.errors(include_url=False, include_context=True, include_input=True):
        path: KeyPath = tuple(part for part in details["loc"] if part != "[key]")
        if path[-1:] == ("to",) and details["type"] != "missing" and path not in document.places:
            path = path[:-1]  # an address alone
        if fault_at(path, "", document.places).path in known:  # e.g. what a missing variable left empty
            continue
        fault = fault_at(path, _message(details, path, document), document.places)
        # The list of cameras, or a whole camera, is missing or is something else.
        if path[:1] == ("cameras",) and len(path) <= 2:
            fault = replace(fault, wants_example=True)
        yield fault


def _message(details: ErrorDetails, path: KeyPath, document: Document) -> str:
    kind, context = details["type"], details.get("ctx", {})
    value = _shown_value(details["input"], path, document.places)
    if path[2:3] == ("location",):
        return f"{LOCATION}, not {value}" if kind != "missing" else LOCATION
    match kind:
        case "extra_forbidden":
            return unknown_key(str(path[-1]), path[:-1])
        case "missing":
            return f"missing{'' if path[-1] != 'cameras' else '; it needs a list with at least one camera'}"
        case "nightday":
            text = str(context["text"])
            if details["input"] in ("", None):
                return text
            if path[0] == "cameras" and (path[-1] in ("url", "to") or path[-2:-1] == ("outputs",)):
                place = document.places.get(path)
                text = (place and place.written and address_hint(place.written)) or text
            if text.startswith("must be "):
                return f"{text}, not {value}"
            return f"{value} {text}" if _follows_a_value(text) else f"{value}: {text}"
        case "literal_error":
            choices = _choices(path)
            given = details["input"]
            close = nearest(given, choices) if isinstance(given, str) else ""
            return f"must be {_either(choices)}, not {value}{close}"
        case "string_pattern_mismatch":
            return f"must be 1 to 64 letters, digits, - and _, not {value}"
        case "too_long":
            return f"has more than {context['max_length']} entries"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
            bound = next(f"{words[key]} {limit:g}" for key, limit in context.items() if key in words)
            return f"must be {bound}, not {value}"
        case _:
            return f"must be {_expected(kind)}, not {value}"


def _follows_a_value(text: str) -> bool:
    """Whether a message is the rest of a sentence that begins with the value."""
    return text.startswith(("is ", "has ", "must ", "holds ", "needs "))


def _expected(kind: str) -> str:
    for beginning, what in (
        ("model_", "a mapping (key: value)"),
        ("tuple", "a list"),
        ("list", "a list"),
        ("int", "a whole number"),
        ("float", "a number"),
        ("finite", "a finite number"),
        ("bool", "true or false"),
        ("string", "text (put it in quotes)"),
    ):
        if kind.startswith(beginning):
            return what
    return f"something else ({kind})"


def known_keys(path: KeyPath) -> list[str]:
    """Keys the mapping at ``path`` may have; places in lists do not matter."""
    section = _SECTIONS.get(_words(path))
    keys = list(keys_of(section)) if section else []
    return [*keys, "defaults"] if section is Config else keys


def _choices(path: KeyPath) -> list[str]:
    section = _SECTIONS[_words(path[:-1])]
    annotation = section.model_fields[keys_of(section)[str(path[-1])]].annotation
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _either(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def _words(path: KeyPath) -> KeyPath:
    """``path`` without its places in lists, and with ``ANY_NAME`` for what the user has named."""
    words = [part for part in path if isinstance(part, str)]
    if words[1:2] == ["detect"] and len(words) > 3:
        words[3] = ANY_NAME
    return tuple(words)


def unknown_key(key: str, path: KeyPath) -> str:
    """The message for a key that the mapping at ``path`` may not have."""
    if key in _LATER.get(_words(path), ()):
        return "not built in this version; remove it"
    known = known_keys(path)
    return "unknown key" + (nearest(key, known) or _elsewhere(key) or f"; known keys: {', '.join(known)}")


def _elsewhere(key: str) -> str:
    """Where a key belongs that is known in another section, as happens when it is indented wrongly."""
    section = next((path for path, model in _SECTIONS.items() if key in keys_of(model)), None)
    if section is None:
        return ""
    if section == ():
        return " here; it belongs at the left edge, without indentation"
    if section == ("cameras",):
        return " here; it belongs to a camera, in the column of the camera's name, or below `defaults:`"
    where = section[-2] if section[-1] == ANY_NAME else section[-1]
    return f" here; it belongs below `{where}:`"


def nearest(word: str, known: Sequence[str]) -> str:
    """``; did you mean …?`` with the nearest of ``known``, or nothing if none is near."""
    close = difflib.get_close_matches(word.lower()[:64], known, n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def _shown_value(value: object, path: KeyPath, places: Mapping[KeyPath, Place]) -> str:
    """A value as it was written, so with ``${NAME}`` in place of what it stands for, and without secrets."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    place = places.get(path)
    text = place.written if place and place.written is not None else str(value)
    if path and path[-1] in SECRET_KEYS and not re.fullmatch(r"\$\{\w+\}", text):
        return MASK
    masked = str(CameraUrl(text)) if any(key in path for key in URL_KEYS) else text
    masked = " ".join(redact(masked).split())
    masked = masked if len(masked) <= 100 else f"{masked[:97]}..."
    return f'"{masked}"' if isinstance(value, str) else masked or "nothing"


def fault_at(path: KeyPath, message: str, places: Mapping[KeyPath, Place]) -> Fault:
    """A fault at the line of ``path`` or, where that is missing, of what it should stand in."""
    for length in range(len(path), -1, -1):
        place = places.get(path[:length])
        if place is not None:
            return Fault(place.line, place.path + path[length:], message)
    return Fault(1, path, message)


def line_of(path: KeyPath, places: Mapping[KeyPath, Place]) -> int | None:
    """Line of ``path``'s value, or of what it should stand in."""
    return fault_at(path, "", places).line


def fault_line(file: str, fault: Fault) -> str:
    """A fault as the user reads it: printable, on one line, without secrets."""
    where = "--set" if fault.line is None else f"{file}:{fault.line}"
    path = " ".join(shown(fault.path).split())[:120]
    text = f"{where}: {path}: {fault.message}" if path else f"{where}: {fault.message}"
    return redact("".join(char if char.isprintable() else "?" for char in text))


def fault_order(fault: Fault) -> tuple[float, str]:
    """Sorts faults by line, those of ``--set`` last."""
    return (float("inf") if fault.line is None else fault.line, shown(fault.path))


def at_most(lines: list[str]) -> list[str]:
    """The first ``MOST_FAULTS`` lines, and how many more there are."""
    if len(lines) <= MOST_FAULTS:
        return lines
    return [*lines[:MOST_FAULTS], f"and {len(lines) - MOST_FAULTS} more faults"]
