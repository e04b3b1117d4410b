"""Where the program keeps what it has to remember between runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

SIGNING_KEY = "signing-key.pem"
"""The file in it that holds the key that recordings are signed with."""


def state_folder() -> Path:
    """``$STATE_DIRECTORY``, which systemd sets, else ``$XDG_STATE_HOME/nightday-stream``, by default below
    ``~/.local/state``. Nothing is made.
    """
    system, user = (os.environ.get(name, "") for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"))
    if system:
        return Path(system.split(":")[0])
    if user.startswith("/"):
        return Path(user, "nightday-stream")
    try:
        return Path.home() / ".local" / "state" / "nightday-stream"
    except RuntimeError:  # an account without a home
        return Path(tempfile.gettempdir(), f"nightday-stream-{os.geteuid()}")


def secrets_folder() -> Path:
    """Where the passwords of cameras are that were added on the page, a file each."""
    return state_folder() / "secrets"


def name_of(camera: str, address: str) -> str:
    """How a camera's files there are called; cameras of one name in two configurations differ in their address."""
    return f"{camera}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
