"""Large frames in compiled code: shrunk before they are translated, and their detail brought back after that.

``Lifted.shrink`` and ``Lifted.lift`` say what is computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.lift import Lifted
from .library import Floats, floats, load

Bytes = NDArray[np.uint8]


class LargeFrames:
    """Frames of one size that are translated at a smaller one; for one thread.

    Args:
        lifted: says how.
        height, width: of the frames.

    Attributes:
        small: what is translated, float32 (3, h, w) in [0, 1], which ``shrink`` writes.
        cells: what the lift needs of the night, float32 (2, h, w), which ``shrink`` writes.
    """

    def __init__(self, lifted: Lifted, height: int, width: int) -> None:
        library = load()
        assert library is not None
        self._library = library
        self._size = height, width
        self._small = h, w = lifted.size
        self._cell = max(1, min(round(height / h), round(width / w)))  # as Lifted has it
        self.small, self.cells = floats(3, h, w), floats(2, h, w)
        rows, columns = -(-height // self._cell) + 1, -(-width // self._cell) + 1
        self._work = floats(24 * (width + self._cell + 64) + 4 * rows * columns)

    def shrink(self, frame: Bytes) -> None:
        """Write ``small`` and ``cells`` of uint8 (H, W, 3)."""
        self._library.nightday_shrink(
            frame, *self._size, self._cell, *self._small, self.small, self.cells, self._work
        )

    def lift(self, frame: Bytes, line: Floats, day: Bytes) -> None:
        """Write the day of uint8 (H, W, 3) to ``day``, the same shape; ``line`` is that of ``Lifted.line``."""
        self._library.nightday_lift(frame, *self._size, self._cell, line, *self._small, day, self._work)
