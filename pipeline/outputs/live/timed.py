"""Encoded pictures apart, each with its time and the sound before it, for what packs them itself."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ...core.sound import SoundFormat
from ..encoding.shared_encoder import EncodedPicture
from ..module import WEBRTC_SOUNDS, Sounds

TICKS = 90_000
"""Ticks a second of the times."""

# A time and the bytes of what follows.
_HEAD = struct.Struct(">qI")


@dataclass(frozen=True, slots=True)
class TimedPicture:
    """A piece of ``TimedPictures``, taken apart.

    Attributes:
        at: the picture's time, in ticks from the first one.
        data: H.264 in Annex B.
        sound: packets with their times, in the same ticks.
    """

    at: int
    data: bytes
    sound: tuple[tuple[int, bytes], ...] = ()


class TimedPictures:
    """Pieces that are a picture each, with the sound of one format that is heard by then.

    Time goes on over gaps, and over another stream of the camera's by the time at which its pictures were decoded.

    Args:
        first: the first picture, which is a key frame.
        title: not told, since nothing around the pictures could.
        begin: the first picture's time.
        sounds: the sound that goes along.
        form: that of the first picture with any, since the other end is told of one.
    """

    def __init__(
        self,
        first: EncodedPicture,
        *,
        title: str = "",
        begin: int = 0,
        sounds: Sounds = WEBRTC_SOUNDS,
        form: SoundFormat | None = None,
    ) -> None:
        self._first = first
        self._begin = begin
        self._last = first, begin
        self._sounds = sounds
        self._form = form

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return encoded.goes_on(self._first)

    def mux(self, encoded: EncodedPicture) -> bytes:
        """The piece of one picture."""
        ticks = self._time_of(encoded)
        self._last = encoded, ticks
        self._form = self._form or encoded.sound_in(self._sounds)
        pieces = [_HEAD.pack(ticks, len(encoded.data)), encoded.data]
        for one in encoded.sound:
            if one.format == self._form and one.at >= self._first.at:
                at = self._begin + round((one.at - self._first.at) * TICKS)
                pieces += [_HEAD.pack(at, len(one.data)), one.data]
        return b"".join(pieces)

    def resume(self, first: EncodedPicture) -> TimedPictures:
        """What goes on with a key frame after a gap or in another stream."""
        if self.accepts(first):
            begin = self._time_of(first)
        else:
            last, ticks = self._last
            begin = ticks + max(1, round((first.decoded_at - last.decoded_at) * TICKS))
        return TimedPictures(first, begin=begin, sounds=self._sounds, form=self._form)

    def _time_of(self, encoded: EncodedPicture) -> int:
        return self._begin + round((encoded.pts - self._first.pts) * encoded.time_base * TICKS)


def picture_of(piece: bytes) -> TimedPicture:
    """A piece taken apart."""
    parts: list[tuple[int, bytes]] = []
    at = 0
    while at < len(piece):
        ticks, size = _HEAD.unpack_from(piece, at)
        at += _HEAD.size
        parts.append((ticks, piece[at : at + size]))
        at += size
    (ticks, data), *sound = parts
    return TimedPicture(ticks, data, tuple(sound))
