"""Cameras attached to this machine: ``device:0`` is ``/dev/video0``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager

from ..core.camera_url import CameraUrl
from ..core.faults import FaultReason
from .base import Connection, ConnectionSettings

ADVICE: Mapping[FaultReason, str] = {
    "not_found": "There is no such device: is the camera plugged in, and is its number right?",
    "timeout": "The camera does not answer. Unplug it and plug it in again.",
    "stall": "It answered, but no pictures come any more. Unplug it and plug it in again.",
    "end_of_stream": "The camera stopped sending. Is it still plugged in?",
    "decode": "What it sends cannot be decoded.",
    "unsupported": "Its video format is not known here.",
}


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address, to be read after it; None if nothing is."""
    if re.fullmatch(r"device:[0-9]+", url.reveal()):
        return None
    return "must be device: and a number (e.g. device:0)"


def open_source(url: CameraUrl, settings: ConnectionSettings) -> AbstractContextManager[Connection]:
    """A context manager that opens the device. Raises SourceLostError."""
    from .connection import open_connection

    number = url.reveal().partition(":")[2]
    return open_connection(
        f"/dev/video{number}", container_format="video4linux2", live=True, settings=settings
    )
