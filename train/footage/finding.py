"""What a check of a scene's footage found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        refuse: whether training on it would be a mistake.
        text: one line: what, the measured value, the way out.
    """

    refuse: bool
    text: str
