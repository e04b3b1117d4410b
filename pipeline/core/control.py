"""What may be changed of a run from outside while it runs: by whoever looks at its page, or home automation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Translate = Literal["night", "always", "never"]
"""When a camera's frames are translated: when its night gate says so, always, or never."""


@dataclass(frozen=True, slots=True)
class NewCamera:
    """A camera that is to be added.

    Attributes:
        name: its name.
        url: its address.
        every_s: seconds between two pictures of a source that answers one.
        record: whether it is recorded below ``out/``.
    """

    name: str
    url: str
    every_s: float | None = None
    record: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """What was written when a camera was added.

    Attributes:
        file: the configuration.
        backup: what it was before.
        secrets: the files that hold the secrets of the camera's address.
    """

    file: Path
    backup: Path
    secrets: tuple[Path, ...]


class Switches(Protocol):
    """A run's cameras as they may be switched from outside. Any thread may call it at any time."""

    def set_translate(self, camera: str, when: Translate) -> None:
        """Translate a camera's frames ``when`` from its next one on, until the configuration is read again.

        Raises KeyError if there is no such camera, and ValueError, with a sentence, if it has no model or cannot be
        told.
        """
        ...


class Controls(Switches, Protocol):
    """A run as it may be changed from outside. Any thread may call it at any time, and no call waits for a frame."""

    def adding_fault(self) -> str | None:
        """Why no camera can be added to the configuration, in a sentence; None if one can."""
        ...

    def add_camera(self, camera: NewCamera) -> Added:
        """Add a camera to the configuration's file, and read that again.

        Raises ValueError, with a sentence, if it cannot be; nothing is changed then.
        """
        ...
