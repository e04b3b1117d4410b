"""Encoded pictures apart, each with its time, for what packs them itself."""

from __future__ import annotations

import struct

from ..encoding.shared_encoder import EncodedPicture

TICKS = 90_000
"""Ticks a second of the times."""

_TIME = struct.Struct(">q")


class TimedPictures:
    """Pieces that are a picture each: 8 bytes with its time, in ticks from the first one, then H.264 in Annex B.

    Time goes on over gaps, and over another stream of the camera's by the time at which its pictures were decoded.

    Args:
        first: the first picture, which is a key frame.
        title: not told, since nothing around the pictures could.
        begin: the first picture's time.
    """

    def __init__(self, first: EncodedPicture, *, title: str = "", begin: int = 0) -> None:
        self._first = first
        self._begin = begin
        self._last = first, begin

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return encoded.stream == self._first.stream

    def mux(self, encoded: EncodedPicture) -> bytes:
        """The piece of one picture."""
        ticks = self._time_of(encoded)
        self._last = encoded, ticks
        return _TIME.pack(ticks) + encoded.data

    def resume(self, first: EncodedPicture) -> TimedPictures:
        """What goes on with a key frame after a gap or in another stream."""
        if self.accepts(first):
            return TimedPictures(first, begin=self._time_of(first))
        last, ticks = self._last
        passed = round((first.decoded_at - last.decoded_at) * TICKS)
        return TimedPictures(first, begin=ticks + max(1, passed))

    def _time_of(self, encoded: EncodedPicture) -> int:
        return self._begin + round((encoded.pts - self._first.pts) * encoded.time_base * TICKS)


def picture_of(piece: bytes) -> tuple[int, bytes]:
    """A piece's time in ticks, and its picture."""
    (ticks,) = _TIME.unpack_from(piece)
    return ticks, piece[_TIME.size :]
