"""What is done to a document between reading and validating it: overrides, defaults, and names filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..core.camera_url import VARIABLE, redact, register_secret, with_variables
from .errors import ConfigError
from .fields import is_off
from .messages import URL_KEYS, fault_at, fault_line, known_keys, line_of, nearest, unknown_key
from .yaml_document import Document, Fault, KeyPath, Place, put_document, read_value, shown

MOST_CAMERAS = 1000
NAME_PLACEHOLDER = "{name}"
_NAMED_KEYS = ("url", "model", "detect", "outputs", "snapshot", "background", "collect")
# Sections that may be written as one value, and which key that is of.
_SHORT_FORMS = {"collect": "folder", "detect": "model"}
_BRACES = re.compile(r"\$\{([^}]*)\}?|\{[^{}]*\}")
_ADDRESS_LIKE = re.compile(r"[0-9]*|localhost|[\w-]+(\.[\w-]+)+|\[.*\]|.*://.*", re.DOTALL)


def apply_override(document: Document, override: str, environment: Mapping[str, str]) -> None:
    """Apply one ``path.to.it=value``; what is wrong with it becomes a fault."""
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        document.faults.append(Fault(None, (), f"{redact(key)!r} is not of the form path.to.it=value"))
        return
    path: KeyPath = ()
    here = document.root
    for number, part in enumerate(parts, start=1):
        last = number == len(parts)
        if isinstance(here, list):
            index = _index_in_list(here, part)
            if index is None:
                names = [str(item["name"]) for item in here if isinstance(item, dict) and "name" in item]
                what = "camera" if path == ("cameras",) else "entry"
                message = f"no {what} {redact(part)!r}{nearest(part, names)}"
                document.faults.append(Fault(None, path, message))
                return
            path = (*path, index)
            here = here[index]
        else:
            path = (*path, part)
            if not last and here.get(part) is None:
                here[part] = {}
                document.places[path] = Place(None, path)
            here = here.get(part)
        if not last and not isinstance(here, (dict, list)):
            message = f"has no keys under it, so {shown((parts[-1],))} cannot be set"
            document.faults.append(Fault(None, path, message))
            return
    put_document(document, path, read_value(text, environment))


def _index_in_list(items: list[Any], part: str) -> int | None:
    """The index of the entry that ``part`` names, by its ``name`` or, failing that, by its number."""
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == part:
            return index
    return int(part) if part.isdecimal() and len(part) < 6 and int(part) < len(items) else None


def expand_short_forms(document: Document) -> None:
    """Make a section of each ``collect: FOLDER``, and the like, so that defaults and cameras may write either."""
    holders: list[tuple[KeyPath, Any]] = [(("defaults",), document.root.get("defaults"))]
    holders += [(("cameras", index), camera) for index, camera in enumerate(cameras_of(document))]
    for path, holder in holders:
        for key, part in _SHORT_FORMS.items():
            value = holder.get(key) if isinstance(holder, dict) else None
            if isinstance(value, str) and not is_off(value):
                holder[key] = {part: value}
                short, spelled_out = (*path, key), (*path, key, part)
                document.places[spelled_out] = document.places[short]


def merge_defaults(document: Document, file: str) -> Document:
    """The document with ``defaults`` worked into each camera, a mapping within a camera key by key."""
    root = dict(document.root)
    defaults = root.pop("defaults", None)
    merged = Document(root, dict(document.places), list(document.faults))
    if defaults is None:
        defaults = {}
    if not isinstance(defaults, dict):
        line = line_of(("defaults",), document.places)
        merged.faults.append(Fault(line, ("defaults",), "must be a mapping of a camera's keys"))
        return merged
    if "name" in defaults:
        defaults = {key: value for key, value in defaults.items() if key != "name"}
        line = line_of(("defaults", "name"), document.places)
        merged.faults.append(Fault(line, ("defaults", "name"), "each camera needs a name of its own"))
    known = known_keys(("cameras",))
    for key in [key for key in defaults if key not in known]:
        line = line_of(("defaults", key), document.places)
        merged.faults.append(Fault(line, ("defaults", key), unknown_key(key, ("cameras",))))
        defaults = {other: value for other, value in defaults.items() if other != key}
    cameras = root.get("cameras")
    if isinstance(cameras, list):
        if len(cameras) > MOST_CAMERAS:
            line = line_of(("cameras",), document.places)
            message = f"{len(cameras)} cameras are more than the {MOST_CAMERAS} one process takes"
            raise ConfigError([fault_line(file, Fault(line, ("cameras",), message))])
        places = {path: place for path, place in document.places.items() if path[:1] == ("defaults",)}
        root["cameras"] = [
            _merge(defaults, camera, ("defaults",), ("cameras", index), places, merged.places)
            if isinstance(camera, dict)
            else camera
            for index, camera in enumerate(cameras)
        ]
    return merged


def _merge(
    below: Any,
    above: Any,
    source: KeyPath,
    target: KeyPath,
    below_places: Mapping[KeyPath, Place],
    places: dict[KeyPath, Place],
) -> Any:
    """``above`` laid over ``below``, mappings key by key; a key without a value above counts as left out.

    Args:
        below: the defaults, or a part of them.
        above: a camera, or the same part of it.
        source: the path of ``below``.
        target: the path of ``above``.
        below_places: where the values of the defaults were written.
        places: takes, below ``target``, the places of the values that come from ``below``.
    """
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    result = below | {key: value for key, value in above.items() if value is not None or key not in below}
    for key, value in below.items():
        if above.get(key) is None:
            for path, place in below_places.items():
                if path[: len(source) + 1] == (*source, key):
                    places[target + path[len(source) :]] = place
        else:
            paths = (*source, key), (*target, key)
            result[key] = _merge(value, above[key], *paths, below_places, places)
    return result


def register_variables(document: Document) -> None:
    """Have ``redact`` hide what the environment put into network addresses, unless it is a host or a port."""
    for path, place in document.places.items():
        if len(path) > 2 and path[2] in URL_KEYS and place.written and "://" in place.written:
            for _, value in place.variables:
                if not _ADDRESS_LIKE.fullmatch(value):
                    register_secret(value)


def fill_in_names(document: Document) -> None:
    """Put each camera's name in place of ``{name}``. Other placeholders become faults, except in addresses."""
    for index, camera in enumerate(cameras_of(document)):
        name = camera.get("name")
        for key in _NAMED_KEYS:
            if key in camera:
                path = ("cameras", index, key)
                camera[key] = _filled_in(camera[key], path, name if isinstance(name, str) else None, document)


def _filled_in(value: Any, path: KeyPath, name: str | None, document: Document) -> Any:
    if isinstance(value, list):
        return [_filled_in(item, (*path, index), name, document) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _filled_in(item, (*path, key), name, document) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    filler = NAME_PLACEHOLDER if name is None else name
    place = document.places.get(path)
    if place is None or place.written is None or _expanded(place, NAME_PLACEHOLDER) != value:
        return value.replace(NAME_PLACEHOLDER, filler)
    if path[2] != "url" and "://" not in place.written:  # a password may hold braces
        for hit in _BRACES.finditer(place.written):
            if hit[1] is None and hit[0] != NAME_PLACEHOLDER:
                message = (
                    f"{hit[0]} stands for nothing; only {NAME_PLACEHOLDER}, the camera's name, is filled in"
                )
                message += nearest(hit[0], [NAME_PLACEHOLDER])
                document.faults.append(fault_at(path, message, document.places))
    # Faults show the value as written: with the name, else nobody could tell whose model is missing.
    written = _BRACES.sub(lambda hit: filler if hit[0] == NAME_PLACEHOLDER else hit[0], place.written)
    document.places[path] = replace(place, written=written)
    return _expanded(place, filler)


def _expanded(place: Place, name: str) -> str:
    """The value as it was written, with ``name`` and the variables filled in.

    A ``{name}`` within a variable's value is not filled in.
    """
    variables = dict(place.variables)
    values: list[str] = []

    def one(hit: re.Match[str]) -> str:
        if hit[1] is None:
            return name if hit[0] == NAME_PLACEHOLDER else hit[0]
        values.append(variables.get(hit[1], ""))
        return VARIABLE

    return with_variables(_BRACES.sub(one, place.written or ""), values)


def cameras_of(document: Document) -> Iterator[dict[str, Any]]:
    """The entries of ``cameras``, an empty one in place of what is no mapping."""
    cameras = document.root.get("cameras")
    for camera in cameras if isinstance(cameras, list) else ():
        yield camera if isinstance(camera, dict) else {}
