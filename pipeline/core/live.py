"""What somebody who watches a camera live gets."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

LiveForm = Literal["ts", "mp4", "media_source", "timed", "jpeg"]
"""H.264 in MPEG-TS, in fragmented MP4, in the same as browsers' Media Source takes it, or as pictures apart, each a
piece with its time; or JPEGs, a piece each."""

View = Literal["day", "night", "pair"]
"""A camera's picture as its outputs show it, as the camera sees it, or both: the night left, the day right."""

VIEWS: tuple[View, ...] = get_args(View)


class Viewer(Protocol):
    """One viewer of one camera. What it does not take in time it loses; nobody waits for it. No call blocks."""

    def take(self) -> bytes | None:
        """The next piece of its stream; empty while there is none, None once none will come."""
        ...

    def want_key(self) -> None:
        """Ask for a key frame, since something was lost. It comes a second after the last one at the earliest."""
        ...

    def leave(self) -> None:
        """Watch no longer. May be called more than once."""
        ...
