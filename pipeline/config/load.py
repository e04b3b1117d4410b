"""Reads ``cameras.yaml``: every fault at once, each one line with its place and the way out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from ..core.camera_url import CameraUrl, redact, register_secret
from .messages import (
    URL_KEYS,
    ConfigError,
    at_most,
    fault_at,
    fault_line,
    fault_order,
    known_keys,
    line_of,
    model_faults,
    nearest,
    unknown_key,
)
from .schema import Config
from .yaml_document import (
    LARGEST,
    Document,
    Fault,
    KeyPath,
    Origin,
    graft,
    read_value,
    read_yaml,
    shown,
)

MOST_CAMERAS = 1000
_PLACEHOLDER = "{name}"
_NAMED_KEYS = ("url", "model", "detect", "outputs", "snapshot", "background", "collect")
_BRACES = re.compile(r"\$\{([^}]*)\}?|\{[^{}]*\}")
_ADDRESS_LIKE = re.compile(r"[0-9]*|localhost|[\w-]+(\.[\w-]+)+|\[.*\]|.*://.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and where its values were written."""

    config: Config
    file: str
    origins: Mapping[KeyPath, Origin]

    def fault(self, path: KeyPath, message: str) -> str:
        """A fault found later, e.g. by an engine, as a line with the place of ``path``'s value."""
        return fault_line(self.file, fault_at(path, message, self.origins))


def load_config(
    file: str | Path, *, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> LoadedConfig:
    """Read and validate a configuration.

    Args:
        file: the YAML file; ``/dev/stdin`` will do.
        overrides: ``path.to.it=value`` each, e.g. ``cameras.gate.translate=never`` or ``engine.max_batch=4``;
            cameras go by name or by place, and no value at all means the default.
        environment: what fills in ``${NAME}``; the process's own by default.

    Raises:
        ConfigError: with every fault there is.
    """
    environment = os.environ if environment is None else environment
    name = str(file)
    document = read_yaml(_content(name), environment)
    if not document.faults and not isinstance(document.root, dict):
        document.faults.append(Fault(1, (), "must hold `cameras:` and a list of cameras"))
    if not isinstance(document.root, dict):
        raise ConfigError([fault_line(name, fault) for fault in document.faults])
    for override in overrides:
        _override(document, override, environment)
    _spell_out(document)
    merged = _merge_defaults(document, name)
    _register_variables(merged)
    _fill_in_names(merged)
    known = {fault.path for fault in merged.faults}
    faults = [*merged.faults, *(fault for fault in _cross_faults(merged) if fault.path not in known)]
    config: Config | None = None
    try:
        config = Config.model_validate(merged.root)
    except ValidationError as error:
        faults += model_faults(error, merged, known={fault.path for fault in faults})
    lines = dict.fromkeys(fault_line(name, fault) for fault in sorted(faults, key=fault_order))
    if lines or config is None:
        raise ConfigError(at_most(list(lines)))
    return LoadedConfig(config, name, merged.origins)


def _content(name: str) -> bytes:
    try:
        with open(name, "rb") as stream:
            return stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"{redact(name)}: cannot be read: {reason}"]) from None


def _override(document: Document, override: str, environment: Mapping[str, str]) -> None:
    """Apply one ``path.to.it=value``; what is wrong with it becomes a fault."""
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        document.faults.append(Fault(None, (), f"{redact(key)!r} is not of the form path.to.it=value"))
        return
    path: KeyPath = ()
    here = document.root
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if isinstance(here, list):
            place = _place_in_list(here, part)
            if place is None:
                names = [str(item["name"]) for item in here if isinstance(item, dict) and "name" in item]
                what = "camera" if path == ("cameras",) else "entry"
                message = f"no {what} {redact(part)!r}{nearest(part, names)}"
                document.faults.append(Fault(None, path, message))
                return
            path = (*path, place)
            here = here[place]
        else:
            path = (*path, part)
            if not last and here.get(part) is None:
                here[part] = {}
                document.origins[path] = Origin(None, path)
            here = here.get(part)
        if not last and not isinstance(here, (dict, list)):
            document.faults.append(
                Fault(None, path, f"has no keys under it, so {shown((parts[-1],))} cannot be set")
            )
            return
    graft(document, path, read_value(text, environment))


def _place_in_list(items: list[Any], part: str) -> int | None:
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == part:
            return index
    return int(part) if part.isdecimal() and len(part) < 6 and int(part) < len(items) else None


def _spell_out(document: Document) -> None:
    """Make a section of ``collect: FOLDER``, so that defaults and cameras may write either."""
    holders: list[tuple[KeyPath, Any]] = [(("defaults",), document.root.get("defaults"))]
    holders += [(("cameras", index), camera) for index, camera in enumerate(_cameras(document))]
    for place, holder in holders:
        folder = holder.get("collect") if isinstance(holder, dict) else None
        if isinstance(folder, str):
            holder["collect"] = {"folder": folder}
            whole = (*place, "collect")
            spelled = (*whole, "folder")
            document.origins[spelled] = document.origins[whole]


def _merge_defaults(document: Document, file: str) -> Document:
    """The document with ``defaults`` worked into each camera, a mapping within a camera key by key."""
    root = dict(document.root)
    defaults = root.pop("defaults", None)
    merged = Document(root, dict(document.origins), list(document.faults))
    if defaults is None:
        defaults = {}
    if not isinstance(defaults, dict):
        line = line_of(("defaults",), document.origins)
        merged.faults.append(Fault(line, ("defaults",), "must be a mapping of a camera's keys"))
        return merged
    if "name" in defaults:
        defaults = {key: value for key, value in defaults.items() if key != "name"}
        line = line_of(("defaults", "name"), document.origins)
        merged.faults.append(Fault(line, ("defaults", "name"), "each camera needs a name of its own"))
    known = known_keys(("cameras",))
    for key in [key for key in defaults if key not in known]:
        line = line_of(("defaults", key), document.origins)
        merged.faults.append(Fault(line, ("defaults", key), unknown_key(key, ("cameras",))))
        defaults = {other: value for other, value in defaults.items() if other != key}
    cameras = root.get("cameras")
    if isinstance(cameras, list):
        if len(cameras) > MOST_CAMERAS:
            line = line_of(("cameras",), document.origins)
            message = f"{len(cameras)} cameras are more than the {MOST_CAMERAS} one process takes"
            raise ConfigError([fault_line(file, Fault(line, ("cameras",), message))])
        origins = {path: origin for path, origin in document.origins.items() if path[:1] == ("defaults",)}
        root["cameras"] = [
            _overlay(defaults, camera, ("defaults",), ("cameras", index), origins, merged.origins)
            if isinstance(camera, dict)
            else camera
            for index, camera in enumerate(cameras)
        ]
    return merged


def _overlay(
    below: Any,
    above: Any,
    source: KeyPath,
    target: KeyPath,
    below_origins: Mapping[KeyPath, Origin],
    origins: dict[KeyPath, Origin],
) -> Any:
    """``above`` laid over ``below``; the origins of what comes from ``below`` are entered at ``target``."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    result = below | {key: value for key, value in above.items() if value is not None or key not in below}
    for key, value in below.items():
        if above.get(key) is None:
            for path, origin in below_origins.items():
                if path[: len(source) + 1] == (*source, key):
                    origins[target + path[len(source) :]] = origin
        else:
            places = (*source, key), (*target, key)
            result[key] = _overlay(value, above[key], *places, below_origins, origins)
    return result


def _register_variables(document: Document) -> None:
    """Have what the environment put into network addresses redacted everywhere, but for hosts and ports."""
    for path, origin in document.origins.items():
        if len(path) > 2 and path[2] in URL_KEYS and origin.written and "://" in origin.written:
            for _, value in origin.variables:
                if not _ADDRESS_LIKE.fullmatch(value):
                    register_secret(value)


def _fill_in_names(document: Document) -> None:
    """Put each camera's name in place of ``{name}``; other placeholders become faults, but for addresses."""
    for index, camera in enumerate(_cameras(document)):
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
    filler = _PLACEHOLDER if name is None else name
    origin = document.origins.get(path)
    if origin is None or origin.written is None or _expanded(origin, _PLACEHOLDER) != value:
        return value.replace(_PLACEHOLDER, filler)
    if path[2] != "url" and "://" not in origin.written:  # a password may hold braces
        for hit in _BRACES.finditer(origin.written):
            if hit[1] is None and hit[0] != _PLACEHOLDER:
                message = f"{hit[0]} stands for nothing; only {_PLACEHOLDER}, the camera's name, is filled in"
                message += nearest(hit[0], [_PLACEHOLDER])
                document.faults.append(fault_at(path, message, document.origins))
    # Faults show the value as written: with the name, else nobody could tell whose model is missing.
    written = _BRACES.sub(lambda hit: filler if hit[0] == _PLACEHOLDER else hit[0], origin.written)
    document.origins[path] = replace(origin, written=written)
    return _expanded(origin, filler)


def _expanded(origin: Origin, name: str) -> str:
    """The value as it was written, with ``name`` and the variables filled in; what those hold stays as it is."""
    variables = dict(origin.variables)

    def one(hit: re.Match[str]) -> str:
        if hit[1] is not None:
            return variables.get(hit[1], "")
        return name if hit[0] == _PLACEHOLDER else hit[0]

    return _BRACES.sub(one, origin.written or "")


def _cameras(document: Document) -> Iterator[dict[str, Any]]:
    cameras = document.root.get("cameras")
    for camera in cameras if isinstance(cameras, list) else ():
        yield camera if isinstance(camera, dict) else {}


def _cross_faults(document: Document) -> Iterator[Fault]:
    """What is wrong between values: names and files used twice, and a model that is needed and not given."""
    if document.root.get("cameras") == []:
        yield fault_at(("cameras",), "must have at least one camera", document.origins)
    names: dict[str, int] = {}
    targets: dict[str, str] = {}
    for index, camera in enumerate(_cameras(document)):
        path: KeyPath = ("cameras", index)
        name = camera.get("name")
        if isinstance(name, str):
            if name in names:
                message = f"{redact(name)!r} is the name of cameras[{names[name]}] already"
                yield fault_at((*path, "name"), message, document.origins)
            names.setdefault(name, index)
        only_collects = bool(camera.get("collect")) and not camera.get("outputs")
        if (
            camera
            and camera.get("model") is None
            and camera.get("translate") != "never"
            and not only_collects
        ):
            message = 'missing; give a checkpoint here or under `defaults`, or set translate to "never"'
            yield fault_at((*path, "model"), message, document.origins)
        source = camera.get("url")
        own = _same(source) if isinstance(source, str) else None
        for place, target in _targets(camera):
            if target == own:
                yield fault_at(path + place, "is what this camera reads; name another", document.origins)
            if target in targets:
                message = f"{targets[target]} writes there too; put {_PLACEHOLDER} into the name"
                yield fault_at(path + place, message, document.origins)
            targets.setdefault(target, f"cameras[{index}]")


def _targets(camera: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Where a camera writes: the place of each value, and what is the same for two names of one target."""
    outputs = camera.get("outputs")
    for number, output in enumerate(outputs if isinstance(outputs, list) else ()):
        if isinstance(output, str):
            yield ("outputs", number), _same(output)
    background = camera.get("background")
    save = background.get("save") if isinstance(background, dict) else None
    collect = camera.get("collect")
    folder = collect.get("folder") if isinstance(collect, dict) else None
    for place, value in (
        (("background", "save"), save),
        (("snapshot",), camera.get("snapshot")),
        (("collect", "folder"), folder),
    ):
        if isinstance(value, str):
            yield place, _real(value)
    if isinstance(save, str) and save.lower().endswith(".png"):
        # a.png and a.PNG are two pictures with one checkpoint beside them.
        yield ("background", "save"), _real(f"{save[:-4]}.state")


def _same(address: str) -> str:
    return _server_stream(address) if "://" in address else _real(address)


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL in it, which has a fault of its own
        return path


def _server_stream(address: str) -> str:
    """An address less what does not matter to where it leads: its login, letter case and the usual port."""
    try:
        url = urlsplit(CameraUrl(address).reveal())
        port = url.port or 554
    except ValueError:
        return address
    return f"{url.scheme}://{url.hostname}:{port}{url.path.rstrip('/')}?{url.query}"
