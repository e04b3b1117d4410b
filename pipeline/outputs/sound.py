"""Sound beside the pictures of an output: its packets go into the container as they came from the camera."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer

from ..core.sound import SoundFormat, SoundPacket

PROMPT = {"max_interleave_delta": "1"}
"""What a muxer of two streams is told: no picture waits for sound, which may have ended, longer than until the next
picture. By default it waits for up to 10 s."""
# Ticks a second that times are given in; muxers make their own of them.
_TICKS = 10**6 * 9


class SoundStream:
    """A container's stream of sound.

    Args:
        container: its header must not be written yet.
        form: what the sound is like; one that the container takes.
        origin: the camera's time, in seconds, at which the container's begins.
        begin: the camera's time before which sound is left out.
    """

    def __init__(
        self,
        container: OutputContainer,
        form: SoundFormat,
        *,
        origin: Fraction = Fraction(0),
        begin: Fraction,
    ) -> None:
        self._container = container
        self._format = form
        self._origin = origin
        self._begin = begin
        with av.open(io.BytesIO(form.description), format=form.description_form) as described:
            self._stream: AudioStream = container.add_stream_from_template(described.streams.audio[0])

    def mux(self, packets: Iterable[SoundPacket]) -> None:
        """Give the muxer what belongs to the stream. Raises what PyAV raises."""
        for one in packets:
            if one.format != self._format or one.at < self._begin:
                continue
            packet = cast("av.Packet[AudioStream]", av.Packet(one.data))
            packet.stream = self._stream
            packet.pts = packet.dts = round((one.at - self._origin) * _TICKS)
            packet.duration = round(one.lasts * _TICKS)
            packet.time_base = Fraction(1, _TICKS)
            packet.is_keyframe = True
            self._container.mux_one(packet)


def sound_stream(
    container: OutputContainer,
    form: SoundFormat | None,
    *,
    origin: Fraction,
    begin: Fraction,
) -> SoundStream | None:
    """A stream for sound of this format; None for none."""
    return None if form is None else SoundStream(container, form, origin=origin, begin=begin)
