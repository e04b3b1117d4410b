"""This program as a package: its version, and how to install it and what it may lack."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "nightday-stream"

# The package is on no index, only in its checkout.
INSTALL = "pip install -c requirements.lock -e .  (in the checkout)"
INSTALL_DETECT = INSTALL.replace("-e .", "-e '.[detect]'")
INSTALL_TRACK = INSTALL.replace("-e .", "-e '.[detect,track]'")
INSTALL_MQTT = INSTALL.replace("-e .", "-e '.[mqtt]'")
INSTALL_PROVENANCE = INSTALL.replace("-e .", "-e '.[provenance]'")
INSTALL_C2PA = INSTALL.replace("-e .", "-e '.[c2pa]'")
INSTALL_WEBRTC = INSTALL.replace("-e .", "-e '.[webrtc]'")


def program_version() -> str:
    """The installed version, e.g. ``0.1.0``; where the package runs without being installed, words that say so."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "of a checkout that is not installed"
