"""Encoded pictures as fragmented MP4 that is passed on while it is made."""

from __future__ import annotations

from fractions import Fraction

import av

from ...core.sound import SoundFormat
from ..encoding.encoder import NOMINAL_RATE
from ..encoding.shared_encoder import EncodedPicture
from ..module import MP4_SOUNDS, Sounds
from ..mp4.segment_file import FINEST, MICROSECONDS
from ..mpeg_ts import CollectedBytes
from ..sound import PROMPT, sound_stream

# Each picture is a fragment, which tells its own time, also after a gap. Not by `frag_every_frame`: with sound beside
# them, half of the packets get the time of the next one.
_MOVFLAGS = "empty_moov+default_base_moof+frag_discont"
_SHORTEST = "1"  # microseconds
# Seconds without a packet after which sound counts as stopped.
_STOPPED = Fraction(1, 2)
_HEADER = (b"ftyp", b"moov")


class Mp4Muxer:
    """The boxes of one stream, which FFmpeg makes: the header with the first picture, a fragment for each.

    Time begins at 0. A fragment is there once the next picture tells how long its own lasts; where sound was told of
    and stops, a picture later.

    Args:
        first: the first picture, which is a key frame.
        title: what the stream's comment says.
        origin: PTS at which time began; None: with this picture, with which the header comes, too.
        sounds: the sound that goes along.
        form: with ``origin``, the format of the sound that the header told of.
    """

    def __init__(
        self,
        first: EncodedPicture,
        *,
        title: str,
        origin: int | None = None,
        sounds: Sounds = MP4_SOUNDS,
        form: SoundFormat | None = None,
    ) -> None:
        self._first = first
        self._title = title
        self._sounds = sounds
        self._origin = first.pts if origin is None else origin
        self._without_header = origin is not None
        self._written = CollectedBytes()
        timescale = first.time_base.denominator
        options = {
            "movflags": _MOVFLAGS,
            "frag_duration": _SHORTEST,
            "video_track_timescale": str(timescale if timescale <= FINEST else MICROSECONDS),
            "avoid_negative_ts": "disabled",
            "use_editlist": "0",
            "flush_packets": "1",
            **PROMPT,
        }
        self._container = av.open(self._written, "w", format="mp4", container_options=options)
        self._container.metadata["comment"] = title
        self._stream = first.add_stream(self._container)
        self._form = first.sound_in(sounds) if origin is None else form
        begin = self._origin * first.time_base
        self._sound = sound_stream(self._container, self._form, origin=begin, begin=first.at)
        # The last picture, where sound would end its fragment before it is known how long it lasts.
        self._held: EncodedPicture | None = None
        self._heard = first.at
        # What is said of a picture that sound may cut off, in ticks: not 0, after which GStreamer shows grey.
        self._usual = max(1, round(Fraction(1, NOMINAL_RATE) / first.time_base))

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began.

        Another sound cannot be told any more. Where players would stop for it, the stream ends; else it goes without.
        """
        same = self._sounds.gaps or encoded.sound_in(self._sounds) == self._form
        return same and encoded.goes_on(self._first)

    def mux(self, encoded: EncodedPicture) -> bytes:
        """Whole boxes, those that are complete with one picture more. Raises what PyAV raises."""
        if self._held is not None:
            self._mux(self._held, lasts=max(1, encoded.pts - self._held.pts))
        if self._sound is not None:
            self._sound.mux(encoded.sound)
            self._heard = max((one.at for one in encoded.sound), default=self._heard)
        heard = self._sound is not None and encoded.at - self._heard < _STOPPED
        # The header is made of the first one, and has to be there at once.
        self._held = encoded if heard and encoded is not self._first else None
        if self._held is None:
            self._mux(encoded, lasts=self._usual if self._sound is not None else 0)
        data = self._written.take()
        return _without_header(data) if self._without_header else data

    def _mux(self, encoded: EncodedPicture, *, lasts: int) -> None:
        packet = encoded.packet(self._stream, origin=self._origin, duration=lasts)
        self._container.mux_one(packet)

    def resume(self, first: EncodedPicture) -> Mp4Muxer | None:
        """What goes on with a key frame after a gap; None for one of another stream, which takes another header."""
        if not self.accepts(first):
            return None
        return Mp4Muxer(first, title=self._title, origin=self._origin, sounds=self._sounds, form=self._form)


def _without_header(data: bytes) -> bytes:
    """Whole boxes without those of the header, which come first."""
    start = 0
    while data[start + 4 : start + 8] in _HEADER:
        start += int.from_bytes(data[start : start + 4], "big")
    return data[start:]
