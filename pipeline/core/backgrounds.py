"""What a camera sees when nothing passes, by day and by night: what an engine may ask for beside the frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Backgrounds:
    """One camera's backgrounds at one moment, of its own pictures.

    Attributes:
        day: (H, W, 3) uint8 RGB, read-only, by day; None while that is not known.
        night: the same by night, in tonight's light as far as that is known.

    An array is never changed: where the content changes, another array takes its place. So whoever derives something
    from an array may keep that for as long as the array is the same object.
    """

    day: NDArray[np.uint8] | None = None
    night: NDArray[np.uint8] | None = None

    def complete_for(self, height: int, width: int) -> bool:
        """Whether both are known, of frames of this size."""
        pictures = (self.day, self.night)
        return all(picture is not None and picture.shape == (height, width, 3) for picture in pictures)


UNKNOWN = Backgrounds()
"""Neither is known."""
