"""Every kind of source, by the scheme of its address. A kind's module is loaded when it is first needed.

A new kind is a module as ``base.SourceModule`` describes it, and a line in ``MODULES``.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import cast

from ..core.camera_url import CameraUrl
from ..core.faults import FaultReason
from .base import WAYS, Connection, ConnectionSettings, SourceModule

MODULES = {
    "file": "file",
    "device": "device",
    **dict.fromkeys(("rtsp", "rtsps", "http", "https", "srt", "rtmp", "rtmps"), "network"),
}
"""The module in this package that serves a scheme."""


def source_fault(url: CameraUrl) -> str | None:
    """What is wrong with a camera's address, to be read after the address; None if nothing is."""
    if url.scheme not in MODULES:
        return f"{url.scheme}: is no kind of camera here; {WAYS} (./ before a file's name with a colon in it)"
    return _module(url.scheme).fault(url)


def open_source(url: CameraUrl, settings: ConnectionSettings) -> AbstractContextManager[Connection]:
    """A context manager that opens ``url`` and closes it.

    Entering it, and reading the connection's frames, raise SourceLostError. KeyError for an unknown scheme.
    """
    return _module(url.scheme).open_source(url, settings)


def advice(scheme: str, reason: str | None) -> str | None:
    """What a user can do about a source of this kind that is away for ``reason``; None if there is no advice."""
    return _module(scheme).ADVICE.get(cast(FaultReason, reason))


def _module(scheme: str) -> SourceModule:
    return cast(SourceModule, importlib.import_module(f".{MODULES[scheme]}", __package__))
