"""Every kind of source, by the scheme of its address. A kind's module is loaded when it is first needed.

A new kind is a module as ``base.SourceModule`` describes it, and a line in ``MODULES``. What a local path is, the
file system says: a file, a camera attached to this machine, or a pipe.
"""

from __future__ import annotations

import importlib
import stat
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, cast

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
    return _module(kind_of(url)).fault(url)


def open_source(url: CameraUrl, settings: ConnectionSettings) -> AbstractContextManager[Connection]:
    """A context manager that opens ``url`` and closes it.

    Entering it, and reading the connection's frames, raise SourceLostError. KeyError for an unknown scheme.
    """
    return _module(kind_of(url)).open_source(url, settings)


def advice(kind: str, reason: str | None) -> str | None:
    """What a user can do about a source of this kind that is away for ``reason``; None if there is no advice.

    ``kind`` is the scheme of its address, or what ``kind_of`` says of a local path.
    """
    return _module(MODULES.get(kind, kind)).ADVICE.get(cast(FaultReason, reason))


def is_file(url: CameraUrl) -> bool:
    """Whether this is a video file of this machine, which has an end and can be read at any pace."""
    return url.is_file and kind_of(url) == "file"


def kind_of(url: CameraUrl) -> str:
    """The module that serves an address. KeyError for an unknown scheme."""
    return _local_kind(url.path) if url.is_file else MODULES[url.scheme]


def _local_kind(path: Path) -> Literal["file", "device", "pipe"]:
    """What a path leads to. A camera that is not plugged in is told by where it will be."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "device" if str(path).startswith(("/dev/video", "/dev/v4l/")) else "file"
    if stat.S_ISCHR(mode):
        return "device"
    return "pipe" if stat.S_ISFIFO(mode) else "file"


def _module(kind: str) -> SourceModule:
    return cast(SourceModule, importlib.import_module(f".{kind}", __package__))
