"""Whether frames of a new size in mid-stream are to be believed."""

from __future__ import annotations

from collections.abc import Hashable

# Frames in a row without an error, or seconds without a frame of another size, after which a new size counts. One
# damaged parameter set gives a second's frames another size, for which engines would be compiled, files begun and the
# background thrown away. It happens twice a minute when 1 % of the bytes are damaged.
SIZE_FRAMES, SIZE_SECONDS = 8, 5.0


class SteadySize:
    """The size of a connection's frames with how it is to be shown, and whether another one is to be believed."""

    def __init__(self) -> None:
        self._size: Hashable | None = None
        self._new: Hashable | None = None
        self._new_since = 0.0
        self._new_frames = 0

    def saw_error(self) -> None:
        """Something could not be decoded, so the frames of a new size are counted from zero again."""
        self._new_frames = 0

    def accepts(self, size: Hashable, now: float) -> bool:
        """Whether a frame without an error, of ``size``, that came ``now`` (monotonic seconds) is to be shown."""
        if self._size in (None, size):
            self._size, self._new = size, None
            return True
        if size != self._new:
            self._new, self._new_since, self._new_frames = size, now, 0
        self._new_frames += 1
        if self._new_frames <= SIZE_FRAMES and now - self._new_since < SIZE_SECONDS:
            return False
        self._size, self._new = size, None
        return True
