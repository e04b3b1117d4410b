"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "nightday-stream"


def program_version() -> str:
    """The installed version, e.g. ``0.1.0``; where the package runs without being installed, words that say so."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "of a checkout that is not installed"
