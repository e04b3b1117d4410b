"""Where the weights and clips are that come with the package, in a checkout and when installed from a wheel alike."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def bundled_weights(name: str) -> Path:
    """The path of a bundled checkpoint, e.g. ``general.pt``.

    Raises FileNotFoundError with the names there are, if there is none of this name.
    """
    folder = Path(str(files("nightday.weights")))
    path = folder / name
    if not path.is_file():
        names = ", ".join(sorted(found.name for found in folder.glob("*.pt")))
        raise FileNotFoundError(f"no bundled weights {name}; there are: {names}")
    return path


def bundled_clips() -> Path:
    """The folder of the demo's clips."""
    return Path(str(files("nightday.clips")))
