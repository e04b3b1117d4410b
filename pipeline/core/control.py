"""What may be changed of a run from outside while it runs: by whoever looks at its page, or home automation."""

from __future__ import annotations

from typing import Literal, Protocol

Translate = Literal["night", "always", "never"]
"""When a camera's frames are translated: when its night gate says so, always, or never."""


class Controls(Protocol):
    """A run as it may be changed from outside. Any thread may call it at any time, and no call waits for a frame.

    What is changed holds until the configuration is read again: a reload or a restart goes back to what it says.
    """

    def set_translate(self, camera: str, when: Translate) -> None:
        """Translate a camera's frames ``when`` from its next one on.

        Raises KeyError if there is no such camera, and ValueError, with a sentence, if it has no model.
        """
        ...
