"""What a detector finds on a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

View = Literal["day", "night", "both"]
"""The picture on which an object was found: as it is shown by day, as the camera saw it by night, or both."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found on one picture.

    Attributes:
        label: class name as the model gives it, e.g. ``"car"``.
        confidence: 0 to 1.
        box: (x1, y1, x2, y2) in pixels of the picture; x2 and y2 are exclusive.
        view: on which picture it was found.
        outline: corners of what it covers, (x, y) in pixels, where the model tells that; of what is in several
            pieces one of them.
        track: the object's number, where objects are followed and it is known for more than a picture.
    """

    label: str
    confidence: float
    box: tuple[float, float, float, float]
    view: View = "day"
    outline: tuple[tuple[float, float], ...] = ()
    track: int | None = None
