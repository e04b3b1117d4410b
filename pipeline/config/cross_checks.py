"""What is wrong between values that are each fine: a name used twice, or a file that two cameras write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..core.camera_url import CameraUrl, redact
from .document_edits import NAME_PLACEHOLDER, cameras_of
from .messages import fault_at
from .yaml_document import Document, Fault, KeyPath

_PORTS = {"rtsp": 554, "rtmp": 1935, "rtmps": 443}


def cross_faults(document: Document) -> Iterator[Fault]:
    """No cameras at all, and names and files that are used twice."""
    if document.root.get("cameras") == []:
        yield fault_at(("cameras",), "must have at least one camera", document.places)
    names: dict[str, int] = {}
    targets: dict[str, str] = {}
    for index, camera in enumerate(cameras_of(document)):
        path: KeyPath = ("cameras", index)
        name = camera.get("name")
        if isinstance(name, str):
            if name in names:
                message = f"{redact(name)!r} is the name of cameras[{names[name]}] already"
                yield fault_at((*path, "name"), message, document.places)
            names.setdefault(name, index)
        source = camera.get("url")
        own = _target_id(source) if isinstance(source, str) else None
        for place, target in _targets(camera):
            if target == own:
                yield fault_at(path + place, "is what this camera reads; name another", document.places)
            if target in targets:
                message = f"{targets[target]} writes there too; put {NAME_PLACEHOLDER} into the name"
                yield fault_at(path + place, message, document.places)
            targets.setdefault(target, f"cameras[{index}]")
    yield from _notify_faults(document)


def _notify_faults(document: Document) -> Iterator[Fault]:
    """Web addresses that are given twice, and a file of events that is their spool as well."""
    webhooks, events = document.root.get("webhooks"), document.root.get("events")
    urls: dict[str, int] = {}
    for index, webhook in enumerate(webhooks if isinstance(webhooks, list) else ()):
        url = webhook.get("url") if isinstance(webhook, dict) else None
        if isinstance(url, str) and urls.setdefault(url, index) != index:
            message = f"is the address of webhooks[{urls[url]}] already; put all events below one"
            yield fault_at(("webhooks", index, "url"), message, document.places)
    if isinstance(events, dict):
        file, spool = events.get("file"), events.get("spool")
        if isinstance(file, str) and isinstance(spool, str) and _real_path(file) == _real_path(spool):
            yield fault_at(
                ("events", "spool"), "is the file of `file:` as well; name another", document.places
            )


def _targets(camera: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Where a camera writes: the place of each value, and what is the same for two names of one target."""
    outputs = camera.get("outputs")
    for number, output in enumerate(outputs if isinstance(outputs, list) else ()):
        if isinstance(output, str):
            yield ("outputs", number), _target_id(output)
        elif isinstance(output, dict) and isinstance(output.get("to"), str):
            yield ("outputs", number, "to"), _target_id(output["to"])
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
            yield place, _real_path(value)
    if isinstance(save, str) and save.lower().endswith(".png"):
        # a.png and a.PNG are two pictures with one checkpoint beside them.
        yield ("background", "save"), _real_path(f"{save[:-4]}.state")


def _target_id(address: str) -> str:
    return _server_stream(address) if "://" in address else _real_path(address.removeprefix("hls:"))


def _real_path(path: str) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL in it, which has a fault of its own
        return path


def _server_stream(address: str) -> str:
    """An address less what does not matter to where it leads: its login, letter case and the usual port."""
    try:
        url = urlsplit(CameraUrl(address).reveal())
        port = url.port or _PORTS.get(url.scheme)
    except ValueError:
        return address
    return f"{url.scheme}://{url.hostname}:{port}{url.path.rstrip('/')}?{url.query}"
