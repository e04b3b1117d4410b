"""Where the program keeps what the configuration names no place for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SIGNING_KEY = "signing-key.pem"
"""The file in it that holds the key that recordings are signed with."""


def state_folder() -> Path:
    """``$STATE_DIRECTORY``, which systemd sets, else ``$XDG_STATE_HOME/nightday-stream``, by default below
    ``~/.local/state``.
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
