"""The exact rolling median of pictures, updated a little at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A picture is added over this many calls, so that no frame waits for all of it: 16 calls of 2.3 ms at 1080p.
STRIPS = 16


class RollingMedian:
    """Exact median of each pixel and channel over the last ``frames`` pictures pushed.

    Equal to ``numpy.median(ring, axis=0)``, which for an even number of frames is the mean of the middle two;
    a half is rounded up, so that the result is ``floor(numpy.median + 0.5)`` as uint8.

    The ring of pictures is also kept sorted along time. A new picture replaces the oldest one in the sorted stack
    in a single pass of minima, maxima and masks over bytes, so nothing is ever sorted again. The pass goes by
    strips of rows, one for each call of ``advance``. A picture of another size clears everything first.

    ``seed`` begins with a median that was made before. It stands for each of the pictures it was made of, until new
    ones take their places one by one.

    Memory: nothing before the first picture, one picture after ``seed`` or ``compact``, and at most 2·frames + 4
    pictures while pictures are pushed (25 frames of 1080p: 336 MB).
    """

    def __init__(self, *, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"a median needs at least 1 frame, got {frames}")
        self.frames = frames
        self._incoming: NDArray[np.uint8] | None = None
        self._pending: NDArray[np.uint8] | None = None
        self._picture: NDArray[np.uint8] | None = None
        self._seed: NDArray[np.uint8] | None = None
        self.clear()

    @property
    def ready(self) -> bool:
        """Whether the last picture pushed has been added wholly, and the next may come."""
        return self._incoming is None

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """Median (H, W, 3) uint8, read-only, without a picture that is being added; None before the first."""
        return self._picture

    @property
    def count(self) -> int:
        """Pictures the median is taken over now, those it was seeded with included: 0 to ``frames``."""
        return min(self._count, self.frames)

    @property
    def nbytes(self) -> int:
        """Memory of the pictures held."""
        held = (self._ring, self._sorted, self._seed, self._incoming, self._pending, self._picture)
        # The seed may be the picture as well.
        arrays = {id(array): array for array in held if array is not None}
        return sum(array.nbytes for array in arrays.values())

    def clear(self) -> None:
        """Forget everything."""
        self._seed = None
        self._start()

    def seed(self, picture: NDArray[np.uint8], *, count: int) -> None:
        """Begin with the median ``picture`` (H, W, 3) of ``count`` pictures; it is kept, not copied.

        Raises ValueError for a count below 1. One above ``frames`` counts as ``frames``.
        """
        if count < 1:
            raise ValueError(f"a median is taken over at least 1 picture, got {count}")
        self._start()  # the rings are made when a picture is pushed
        self._seed = self._picture = picture
        self._count = self._seeded = min(count, self.frames)

    def compact(self) -> None:
        """Keep the median only, as a seed, and free the other pictures. One that is being added is dropped."""
        if self._picture is None:
            self.clear()
        elif self._ring.size:
            self.seed(self._picture, count=self.count)

    def push(self, rgb: NDArray[np.uint8]) -> None:
        """Put a copy of ``rgb`` (H, W, 3) in the oldest picture's place. Raises RuntimeError unless ``ready``."""
        if self._seed is not None and rgb.shape == self._seed.shape and not self._ring.size:
            self._allocate(rgb.shape)
        elif rgb.shape != self._shape:
            self.clear()
            self._start(rgb.shape)
        elif not self.ready:
            raise RuntimeError(
                "the picture before is still being worked in: call advance() until it is ready"
            )
        self._incoming = rgb.copy()
        self._pending = np.empty_like(self._incoming)
        self._row = 0

    def advance(self) -> None:
        """Add the next strip of rows of the picture pushed last. Does nothing when ``ready``."""
        if self._incoming is None or self._pending is None:
            return
        height = self._shape[0]
        rows = slice(self._row, min(self._row + -(-height // STRIPS), height))
        self._add(rows, self._incoming[rows], self._pending[rows])
        self._row = rows.stop
        if self._row == height:
            self._ring[self._count % self.frames] = self._incoming
            self._count += 1
            self._picture, self._incoming, self._pending = self._pending, None, None
            self._picture.flags.writeable = False
            if self._count >= self.frames + self._seeded:
                self._seed = None  # new pictures have taken all of its places

    def finish(self) -> NDArray[np.uint8] | None:
        """Add all that is left at once, and return ``picture``. For the end, not for the hot path."""
        while not self.ready:
            self.advance()
        return self._picture

    def _start(self, shape: tuple[int, ...] = (0, 0, 3)) -> None:
        self._allocate(shape)
        self._count = self._seeded = 0
        self._row = 0
        self._incoming = self._pending = self._picture = None

    def _allocate(self, shape: tuple[int, ...]) -> None:
        self._shape: tuple[int, ...] = shape
        self._ring = np.empty((self.frames, *shape), np.uint8)
        self._sorted = np.empty((self.frames, *shape), np.uint8)

    def _oldest(self, rows: slice) -> NDArray[np.uint8]:
        if self._seed is not None and self._count - self.frames < self._seeded:
            return self._seed[rows]
        return self._ring[self._count % self.frames, rows]

    def _add(self, rows: slice, incoming: NDArray[np.uint8], median: NDArray[np.uint8]) -> None:
        stack = self._sorted[:, rows]
        if self._seed is not None and self._count == self._seeded:
            stack[: self._seeded] = self._seed[rows]
        if self._count < self.frames:
            held = self._count + 1
            _insert(stack[:held], incoming.copy())
        else:
            held = self.frames
            _replace(stack, self._oldest(rows), incoming.copy())
        low, high = stack[(held - 1) // 2], stack[held // 2]
        # The mean rounded up, within uint8: (a | b) - (a ^ b) / 2.
        np.bitwise_xor(low, high, out=median)
        np.right_shift(median, 1, out=median)
        np.subtract(low | high, median, out=median)


def _insert(stack: NDArray[np.uint8], incoming: NDArray[np.uint8]) -> None:
    """Insert ``incoming`` into a sorted stack whose last layer is free. ``incoming`` is overwritten."""
    lower = np.empty_like(incoming)
    for layer in stack[:-1]:
        np.minimum(layer, incoming, out=lower)
        np.maximum(layer, incoming, out=incoming)
        layer[...] = lower
    stack[-1] = incoming


def _replace(stack: NDArray[np.uint8], oldest: NDArray[np.uint8], incoming: NDArray[np.uint8]) -> None:
    """Take ``oldest`` out of a sorted stack and insert ``incoming``, in one pass. ``incoming`` is overwritten.

    Without the old value v, layer k holds s[k] where s[k] < v, and s[k + 1] elsewhere. A masked ``numpy.copyto``
    would do the same but takes seven times as long: it has no SIMD path for bytes.
    """
    mask = np.empty_like(incoming)
    rest = np.empty_like(incoming)
    for k in range(len(stack) - 1):
        np.greater_equal(stack[k], oldest, out=mask.view(np.bool_))
        np.negative(mask, out=mask)  # 1 becomes 255
        np.bitwise_xor(stack[k], stack[k + 1], out=rest)
        np.bitwise_and(rest, mask, out=rest)
        np.bitwise_xor(rest, stack[k], out=rest)
        np.minimum(rest, incoming, out=stack[k])
        np.maximum(rest, incoming, out=incoming)
    stack[-1] = incoming
