"""Where the weights and clips are that come with the package, in a checkout and when installed from a wheel alike."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def bundled_weights(name: str) -> Path:
    """Where the bundled checkpoint of this file name is, e.g. ``general.pt``; nothing is opened."""
    return _folder("nightday.weights") / name


def bundled_clips() -> Path:
    """The folder of the demo's clips."""
    return _folder("nightday.clips")


def _folder(package: str) -> Path:
    return Path(str(files(package)))
