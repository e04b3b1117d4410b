"""The folder of what cameras learn, marked so that each node can tell whether it sees the same."""

from __future__ import annotations

import secrets
from pathlib import Path

from ..config.fields import AUTO
from ..config.schema import CameraConfig
from ..core.atomic_file import write_atomically
from .messages import SharedFolder

_MARK = ".cluster"


def marked(folder: Path) -> SharedFolder:
    """The folder with a new mark in it."""
    mark = secrets.token_hex(16)
    try:
        write_atomically(folder / _MARK, [mark.encode()], mode=0o644)
    except OSError:
        mark = ""
    return SharedFolder(folder, mark)


def apart(shared: SharedFolder) -> str | None:
    """Why this machine does not share the folder, and what to do; None if it does."""
    if not shared.mark:
        return f"{shared.folder} cannot be written where the coordinator runs; set learning.folder, or learn: false"
    try:
        if (shared.folder / _MARK).read_text() == shared.mark:
            return None
    except (OSError, ValueError):
        pass
    return (
        f"it does not see {shared.folder} of the coordinator's machine; set learning.folder to a folder that all "
        "machines share, or learn: false"
    )


def without_share(camera: CameraConfig, shared: SharedFolder, why: str) -> tuple[CameraConfig, str]:
    """A camera as it runs where the folder is not shared: it collects nothing there. And why it cannot, or "".

    With a model of its own it does not run with another, which would be worse.
    """
    if camera.model != AUTO and Path(camera.model).is_relative_to(shared.folder):
        return camera, f"its own model cannot be had: {why}"
    if camera.collect is not None and camera.collect.folder.is_relative_to(shared.folder):
        return camera.model_copy(update={"collect": None}), ""
    return camera, ""
