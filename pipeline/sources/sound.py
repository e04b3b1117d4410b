"""The sound of one connection: its packets wait here until the pictures tell where they lie on the timeline."""

from __future__ import annotations

import io
import threading
from collections import deque
from contextlib import suppress
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from ..core.sound import MOST_PACKETS, SoundFormat, SoundPacket, SoundTrack, description_form

# Seconds that sound may lie before or behind the picture with which it came. What is further off has bad stamps.
FARTHEST = 5
# Codecs of which nothing more is to be known than the rate and the channels.
_TOLD = ("pcm_alaw", "pcm_mulaw", "opus")


class SoundInput:
    """Takes a connection's sound in the thread that reads it, and hands it on in the thread that places its pictures.

    Sound without a time stamp, out of order, or far from the pictures is left out; pictures never are.

    Args:
        track: where it goes.
    """

    def __init__(self, track: SoundTrack) -> None:
        self._track = track
        self._format: SoundFormat | None = None
        self._begun = False
        self._framed = False  # whether each packet has a header of ADTS, as in MPEG-TS
        self._lock = threading.Lock()
        self._waiting: deque[SoundPacket] = deque(maxlen=MOST_PACKETS)

    def stream_of(self, container: InputContainer) -> AudioStream | None:
        """The sound that a player would take; None where there is none that can be told.

        Where the container tells its format, that is known before any packet, so that outputs begin with it.
        """
        best = container.streams.best("audio")
        if not isinstance(best, AudioStream) or best.codec_context is None or best.time_base is None:
            return None
        with suppress(Exception):  # as in ``take``
            self._tell_early(best)
        return best

    def _tell_early(self, stream: AudioStream) -> None:
        if not stream.codec_context.extradata and stream.codec_context.name not in _TOLD:
            return
        form = format_of(stream, b"")
        if form.description:
            self._format = form
            self._track.tell(form)

    def take(self, packet: av.Packet[AudioStream]) -> None:
        """Take one packet as it was read. Never fails."""
        with suppress(Exception):  # whatever a strange camera sends as sound, its pictures go on
            self._take(packet)

    def _take(self, packet: av.Packet[AudioStream]) -> None:
        ticks, tick = packet.pts if packet.pts is not None else packet.dts, packet.time_base
        if ticks is None or not packet.size or tick is None:
            return
        data = bytes(packet)
        if not self._begun:
            self._begun = True
            self._framed = packet.stream.codec_context.name == "aac" and _adts(data) > 0
            if self._format is None or self._framed:
                self._format = format_of(packet.stream, data)
                self._track.tell(self._format)
        assert self._format is not None
        if not self._format.description:
            return
        start = _adts(data) if self._framed else 0
        one = SoundPacket(self._format, data[start:], ticks * tick, (packet.duration or 0) * tick)
        with self._lock:
            self._waiting.append(one)

    def place(self, shift: Fraction | None, picture_at: Fraction) -> None:
        """Hand on what waits, moved by ``shift`` seconds; None: where it belongs is not known, so it is left out.

        ``picture_at``: the newest picture's time on the timeline, in seconds.
        """
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for one in waiting if shift is not None else ():
            at = one.at + (shift or 0)
            if abs(at - picture_at) <= FARTHEST:
                self._track.put(SoundPacket(one.format, one.data, at, one.lasts))


def format_of(stream: AudioStream, first: bytes) -> SoundFormat:
    """The format of a stream that begins with the packet ``first``; empty for none yet."""
    codec = stream.codec_context
    try:
        description = _description(stream, first)
    except (ValueError, av.FFmpegError):  # no such file holds it
        description = b""
    return SoundFormat(
        codec=codec.codec.canonical_name,
        rate=codec.sample_rate or 0,
        layout=codec.layout.name,
        # Where each packet has a header, the part of it that does not change.
        setup=codec.extradata or first[: 3 if _adts(first) else 0],
        description=description,
        channels=codec.layout.nb_channels,
    )


def _description(stream: AudioStream, first: bytes) -> bytes:
    written = io.BytesIO()
    options = {"fflags": "+bitexact"}
    form = description_form(stream.codec_context.codec.canonical_name)
    with av.open(written, "w", format=form, container_options=options) as container:
        copied = container.add_stream_from_template(stream)
        # A file without a packet cannot be read; what is in it is not looked at where all is known.
        packet = av.Packet(first or b"\0")
        packet.stream = copied
        packet.pts = packet.dts = 0
        packet.time_base = stream.time_base or Fraction(1, 1000)
        packet.is_keyframe = True
        container.mux(packet)
    return written.getvalue()


def _adts(data: bytes) -> int:
    """Bytes of the ADTS header that ``data`` begins with (ISO/IEC 13818-7, 6.2); 0 if it begins with none."""
    if len(data) < 9 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return 0
    return 7 if data[1] & 1 else 9
