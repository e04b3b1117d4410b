"""What a detector finds on a picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found on one picture.

    Attributes:
        label: class name as the model gives it, e.g. ``"car"``.
        confidence: 0 to 1.
        box: (x1, y1, x2, y2) in pixels of the picture; x2 and y2 are exclusive.
    """

    label: str
    confidence: float
    box: tuple[float, float, float, float]
