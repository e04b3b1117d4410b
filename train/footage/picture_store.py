"""Memory for the pictures of a scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Keep = Callable[[Image], Image]

# Bytes of pictures that lie in memory together.
_BLOCK_BYTES = 16 << 20


class PictureStore:
    """Copies pictures into large blocks of memory.

    Kept where decoding left them they would lie between what is let go meanwhile, and gaps would remain that no other
    picture fits into: up to a sixth of the memory.
    """

    def __init__(self) -> None:
        self._free = np.empty((0, 0, 0, 3), np.uint8)

    def keep(self, image: Image) -> Image:
        """The same picture, as part of a block."""
        if not len(self._free) or self._free.shape[1:] != image.shape:
            self._free = np.empty((max(1, _BLOCK_BYTES // image.nbytes), *image.shape), np.uint8)
        kept: Image = self._free[0]
        self._free = self._free[1:]
        kept[:] = image
        return kept
