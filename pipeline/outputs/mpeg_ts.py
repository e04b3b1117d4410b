"""Encoded pictures as MPEG-TS."""

from __future__ import annotations

from fractions import Fraction

import av

from .encoding.shared_encoder import EncodedPicture
from .module import TS_SOUNDS, Sounds
from .sound import PROMPT, sound_stream

# Microseconds that the stream's clock is behind the pictures' PTS, so that receivers get a picture before it is due.
CLOCK_DELAY = 100_000


class TsMuxer:
    """The TS packets of one stream, which FFmpeg makes.

    PTS equal the frames' own, in ticks of 1/90000 s and modulo 2³³ as MPEG-TS has them. The tables of the stream come
    first and about every 0.1 s, and the parameter sets with each key frame.

    Args:
        first: the first picture, which is a key frame.
        title: the name of the service that the stream carries.
        sounds: the sound that goes along.
        before: TS packets that go out before its own.
    """

    def __init__(
        self, first: EncodedPicture, *, title: str, sounds: Sounds = TS_SOUNDS, before: bytes = b""
    ) -> None:
        self._before = before
        self._number = first.number
        self._first = first
        self._title = title
        self._sounds = sounds
        self._written = CollectedBytes()
        options = {
            "mpegts_copyts": "1",
            "omit_video_pes_length": "0",  # with it a receiver need not wait for the next picture
            "mpegts_flags": "+initial_discontinuity",
            "max_delay": str(CLOCK_DELAY),
            "avoid_negative_ts": "disabled",
            "flush_packets": "1",
            "pes_payload_size": "0",  # else sound waits for more of it
            **PROMPT,
        }
        self._container = av.open(self._written, "w", format="mpegts", container_options=options)
        self._container.metadata["service_name"] = title
        self._container.metadata["service_provider"] = "nightday-stream"
        self._stream = first.add_stream(self._container)
        self._sound = sound_stream(
            self._container, first.sound_in(sounds), origin=Fraction(0), begin=first.at
        )

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return encoded.goes_on(self._first, self._sounds)

    def mux(self, encoded: EncodedPicture) -> bytes:
        """The TS packets of one picture and of the sound before it, whole ones. Raises what PyAV raises."""
        if self._sound is not None:
            self._sound.mux(encoded.sound)
        self._container.mux_one(encoded.packet(self._stream))
        self._number = encoded.number
        before, self._before = self._before, b""
        return before + self._written.take()

    def end(self) -> bytes:
        """What was still waiting for sound. Nothing may be muxed afterwards."""
        self._container.close()
        return self._written.take()

    def resume(self, first: EncodedPicture) -> TsMuxer:
        """What goes on with a key frame after a gap or in another stream; it says that there is a break."""
        # Where pictures were left out, what waits depends on them.
        before = self.end() if first.number == self._number + 1 else b""
        return TsMuxer(first, title=self._title, sounds=self._sounds, before=before)


class CollectedBytes:
    """Collects what a muxer of FFmpeg's writes: whole TS packets or boxes once a picture is through."""

    def __init__(self) -> None:
        self._collected = bytearray()

    def write(self, data: bytes) -> int:
        """Collect a piece."""
        self._collected += data
        return len(data)

    def take(self) -> bytes:
        """What was collected since the last time."""
        data = bytes(self._collected)
        self._collected.clear()
        return data
