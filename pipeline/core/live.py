"""What somebody who watches a camera live gets."""

from __future__ import annotations

from typing import Literal, Protocol

LiveForm = Literal["ts", "mp4"]
"""MPEG-TS, or fragmented MP4."""


class Viewer(Protocol):
    """One viewer of one camera. What it does not take in time it loses; nobody waits for it. No call blocks."""

    def take(self) -> bytes | None:
        """The next piece of its stream; empty while there is none, None once none will come."""
        ...

    def leave(self) -> None:
        """Watch no longer. May be called more than once."""
        ...
