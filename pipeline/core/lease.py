"""The right to write a camera's outputs, which in a cluster one node at a time has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Lease:
    """What a camera's outputs ask before each picture.

    Attributes:
        epoch: rises each time that the camera is given to a node, so no two have the same; None outside clusters.
        may_write: whether the camera may be written now. Any thread may ask, and nothing waits.
    """

    epoch: int | None = None
    may_write: Callable[[], bool] = field(default=_always, compare=False)


ALONE = Lease()
"""That of a program beside which no other runs the camera."""
