"""Cameras attached to this machine: ``device:0``, which is ``/dev/video0``, or a path as in ``/dev/v4l/by-id``."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from ..core.camera_url import CameraUrl
from ..core.faults import FaultReason
from .base import Connection, ConnectionSettings

ADVICE: Mapping[FaultReason, str] = {
    "not_found": "There is no such device: is the camera plugged in, and is its number or path right?",
    "timeout": "The camera does not answer. Unplug it and plug it in again.",
    "stall": "It answered, but no pictures come any more. Unplug it and plug it in again.",
    "end_of_stream": "The camera stopped sending. Is it still plugged in?",
    "decode": "What it sends cannot be decoded.",
    "unsupported": "Its video format is not known here.",
}


# The number by which Linux knows devices for video.
V4L2_MAJOR = 81


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address, to be read after it; None if nothing is.

    A camera may be plugged in later, so one that is not there has no fault.
    """
    path = _path(url)
    if path is None:
        return "must be device: and a number (e.g. device:0) or a path (e.g. /dev/v4l/by-id/…)"
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISCHR(found.st_mode) or os.major(found.st_rdev) != V4L2_MAJOR:
        return "is no camera; ls /dev/v4l/by-id/ shows those that are plugged in"
    if not os.access(path, os.R_OK | os.W_OK):
        return "may not be opened by this user; add the user to the group video"
    return None


def open_source(url: CameraUrl, settings: ConnectionSettings) -> AbstractContextManager[Connection]:
    """A context manager that opens the device. Raises SourceLostError."""
    from .connection import open_connection

    return open_connection(str(_path(url)), container_format="video4linux2", live=True, settings=settings)


def _path(url: CameraUrl) -> Path | None:
    """The device's place; None for an address that names none."""
    if url.is_file:
        return url.path
    named = url.reveal().partition(":")[2]
    if named.startswith("/dev/"):
        return Path(named)
    return Path(f"/dev/video{named}") if re.fullmatch("[0-9]+", named) else None
