"""One encoder for all outputs of a camera, so that each picture is encoded once.

Pictures on a GPU are encoded by its NVENC, where they are. Where there is no NVENC, as on the H200, or all its
sessions are taken, they are copied to the host as NV12, which is half as large as RGB, and x264 encodes them.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream
from torch import Tensor

from ...core.event_log import to_log
from ...core.events import Notice, Publish
from ...core.faults import detail_of
from ...core.frame import Frame, Picture
from ...core.live import View
from ...core.sound import UNHEARD, SoundFormat, SoundPacket, SoundReader, SoundTrack
from ..module import NO_SOUNDS, Sounds
from ..writer import PictureSkipped
from .encoder import Encoder, even_size, turn_of
from .mark import mark_of, with_mark
from .settings import AS_IT_COMES, Encoding, VideoCodec, codec_of
from .sps import level_of, parameter_sets, without_rate
from .thinning import Thinning
from .views import picture_of

# Encoded pictures that are kept for slower outputs: twice as many as one may have waiting.
HISTORY = 8
# What encodes, as the camera's state tells it.
_NAMES: dict[tuple[VideoCodec, bool], str] = {
    ("h264", False): "x264",
    ("h264", True): "nvenc",
    ("hevc", False): "x265",
    ("hevc", True): "hevc_nvenc",
}


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """One encoded picture.

    Attributes:
        data: H.264 or H.265, Annex B, with the parameter sets and the mark before a key frame. It names no rate: the
            PTS tell it.
        pts: its frame's, in ticks of ``time_base``.
        key: whether decoding can begin here.
        number: counts the encoded pictures. Each depends on the one before, unless it is a key frame.
        stream: counts the streams. A new one begins with another size, look or time base, or when time goes back.
        size: width and height.
        pixel_aspect: width by height of a pixel.
        decoded_at: its frame's.
        codec: which of both.
        sound: what is heard by its PTS and did not come with pictures before.
        sound_format: that of the camera's sound; None before any. With another one comes a key frame.
        silent: whether no sound has come for a while. When that changes, a key frame comes.
    """

    data: bytes
    pts: int
    time_base: Fraction
    key: bool
    number: int
    stream: int
    size: tuple[int, int]
    decoded_at: float
    pixel_aspect: Fraction = Fraction(1)
    codec: VideoCodec = "h264"
    sound: tuple[SoundPacket, ...] = ()
    sound_format: SoundFormat | None = None
    silent: bool = False

    @property
    def at(self) -> Fraction:
        """Its time on the camera's timeline, in seconds."""
        return self.pts * self.time_base

    def sound_in(self, sounds: Sounds) -> SoundFormat | None:
        """The format of the sound that goes along in a container of ``sounds``; None where none does."""
        form = self.sound_format
        if form is None or not sounds.take(form) or (self.silent and not sounds.gaps):
            return None
        return form

    def goes_on(self, first: EncodedPicture, sounds: Sounds = NO_SOUNDS) -> bool:
        """Whether it belongs to the stream that ``first`` began, in a container of ``sounds``."""
        return self.stream == first.stream and self.sound_in(sounds) == first.sound_in(sounds)

    def is_of(self, frame: Frame) -> bool:
        """Whether it shows ``frame``."""
        return (self.pts, self.time_base, self.decoded_at) == (frame.pts, frame.time_base, frame.decoded_at)

    def add_stream(self, container: OutputContainer) -> VideoStream:
        """A stream of ``container`` for pictures like this one; its header must not be written yet."""
        width, height = self.size
        stream = container.add_mux_stream(self.codec, width=width, height=height)
        assert isinstance(stream, VideoStream)
        stream.time_base = self.time_base
        return stream

    def packet(self, stream: VideoStream, *, origin: int = 0, duration: int = 0) -> av.Packet[VideoStream]:
        """A packet for ``stream`` alone: muxing changes it.

        Its PTS counts from ``origin``. All are in ticks of ``time_base``; a ``duration`` of 0 says nothing.
        """
        packet = cast("av.Packet[VideoStream]", av.Packet(self.data))
        packet.stream = stream
        packet.pts = packet.dts = self.pts - origin
        packet.duration = duration
        packet.time_base = self.time_base
        packet.is_keyframe = self.key
        return packet


def finished(key_frame: bytes, picture: Picture, view: View, codec: VideoCodec = "h264") -> bytes:
    """A key frame of ``picture`` as it goes out: it names no rate and bears the mark."""
    data = without_rate(key_frame) if codec == "h264" else key_frame  # x265 is told to name none
    return with_mark(data, mark_of(picture, view), codec)


class SharedEncoder:
    """Encodes each picture once, for all outputs of a camera: in the thread of the one that asks first.

    At 1080p encoding is nearly all that an output costs. What an output waits for here is encoding that it would
    have to do itself; reading and writing, which may block, happen outside.

    Args:
        preset: x264's.
        camera: its name, for events.
        publish: told when NVENC cannot be used.
        encoding: how the outputs want the pictures.
        sound: the camera's sound, which goes along with the pictures.
    """

    def __init__(
        self,
        *,
        preset: str = "veryfast",
        camera: str = "",
        publish: Publish = to_log,
        encoding: Encoding = AS_IT_COMES,
        sound: SoundTrack | None = None,
    ) -> None:
        self._sound = None if sound is None else SoundReader(sound)
        self._heard: tuple[SoundFormat | None, bool] = None, False
        self.encoding = encoding
        self._thinning = Thinning(encoding.fps)
        self._preset = preset
        self._camera = camera
        self._publish = publish
        self._codec = codec_of(encoding.encoder)
        self._nvenc = encoding.encoder == "auto"  # until it fails
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        self._history: deque[EncodedPicture] = deque(maxlen=HISTORY)
        self._number = self._stream = 0
        self._key_wanted = False
        self._generated: bool | None = None  # whether the last picture was
        self._sets: tuple[int, list[bytes]] | None = None  # parameter sets of the stream, and its number

    def wants(self, picture: Picture) -> bool:
        """Whether ``picture`` is one of those to be encoded. For the thread that has the camera's pictures."""
        return self._thinning.takes(picture.frame)

    def encode(self, picture: Picture, *, key: bool) -> EncodedPicture | None:
        """``picture`` encoded; None if it comes too late, later ones having been encoded without it.

        ``key`` asks for a key frame: this picture is one if nobody asked for it before, else the next one.
        Raises what PyAV raises, and ValueError for a picture too small to encode.
        """
        frame = picture.frame
        with self._lock:
            last = self._history[-1] if self._history else None
            back = last is not None and frame.pts * frame.time_base <= last.pts * last.time_base
            if last is not None and back and frame.decoded_at <= last.decoded_at:
                earlier = next((encoded for encoded in self._history if encoded.is_of(frame)), None)
                self._key_wanted |= key and not (earlier is not None and earlier.key)
                return earlier
            picture = picture_of(picture, self.encoding)
            encoder = self._encoder
            if back or encoder is None or not encoder.accepts(picture):
                encoder = self._begin(picture)
            elif encoder.rate_is_off:
                encoder = self._begin(picture, stream=self._stream)
            # Marks stand before key frames alone, so what they tell may change there alone.
            changed, self._generated = picture.translated != self._generated, picture.translated
            # Containers take up another sound at a key frame.
            sound, heard = self._sound.heard_by(frame.pts * frame.time_base) if self._sound else UNHEARD
            changed, self._heard = changed or heard != self._heard, heard
            packet, encoder = self._packet(encoder, picture, key=key or self._key_wanted or changed)
            self._key_wanted = False
            self._number += 1
            if packet.is_keyframe:
                self._note_sets(bytes(packet))
            encoded = EncodedPicture(
                data=finished(bytes(packet), picture, self.encoding.view, self._codec)
                if packet.is_keyframe
                else bytes(packet),
                pts=frame.pts,
                time_base=frame.time_base,
                key=packet.is_keyframe,
                number=self._number,
                stream=self._stream,
                size=encoder.size,
                decoded_at=frame.decoded_at,
                pixel_aspect=encoder.pixel_aspect,
                codec=self._codec,
                sound=sound,
                sound_format=heard[0],
                silent=heard[1],
            )
            self._history.append(encoded)
            return encoded

    @property
    def name(self) -> str | None:
        """What encodes: ``nvenc``, ``x264``, ``hevc_nvenc`` or ``x265``; None before the first picture."""
        encoder = self._encoder
        return None if encoder is None else _NAMES[encoder.codec, encoder.nvenc]

    def _note_sets(self, key_frame: bytes) -> None:
        """Begin another stream where an encoder that was to go on with one needs other parameter sets."""
        sets = parameter_sets(without_rate(key_frame) if self._codec == "h264" else key_frame, self._codec)
        if self._sets is not None and sets != self._sets[1] and self._sets[0] == self._stream:
            self._stream += 1
        self._sets = self._stream, sets

    def _begin(self, picture: Picture, *, stream: int | None = None) -> Encoder:
        """A new stream, by NVENC if that is asked for, or if the picture is on a GPU and NVENC has not failed before.

        With ``stream``, another encoder for that one, if its parameter sets come out the same.
        """
        even_size(picture)  # raises here what would not be NVENC's fault
        before, encoder = self._encoder, None
        make = partial(
            Encoder,
            picture,
            preset=self._preset,
            bitrate=self.encoding.bitrate,
            rate=(None if before is None else before.measured_rate) or self.encoding.fps,
            level=None if stream is None or self._sets is None else level_of(self._sets[1]),
            turn=turn_of(self._camera),
            codec=self._codec,
        )
        if self.encoding.encoder in ("h264_nvenc", "hevc_nvenc"):
            encoder = make(nvenc=True)
        if self._nvenc and isinstance(picture.rgb, Tensor):
            try:
                encoder = make(nvenc=True)
            except Exception as error:  # an FFmpeg built without it, for instance
                self._give_up_nvenc(error)
        self._encoder = encoder or make()
        self._stream = self._stream + 1 if stream is None else stream
        return self._encoder

    def _packet(
        self, encoder: Encoder, picture: Picture, *, key: bool
    ) -> tuple[av.Packet[VideoStream], Encoder]:
        """The picture encoded, and what encoded it. NVENC opens with the first picture, and may fail at any."""
        try:
            (packet,) = encoder.encode(picture, key=key)
        except Exception as error:
            if not encoder.nvenc or self.encoding.encoder != "auto":
                raise
            self._give_up_nvenc(error)
            encoder = self._begin(picture)
            (packet,) = encoder.encode(picture, key=key)
        return packet, encoder

    def _give_up_nvenc(self, error: Exception) -> None:
        self._nvenc = False
        text = f"NVENC does not encode here ({detail_of(error)}); pictures come to the host for x264"
        self._publish(Notice(camera=self._camera, name="nvenc_missing", detail=text, level="warning"))


class EncoderClient:
    """One output's use of a shared encoder: it gets only what it can decode, given what it got before."""

    def __init__(self, shared: SharedEncoder) -> None:
        self._shared = shared
        self._next: int | None = None

    @property
    def view(self) -> View:
        """The view that is encoded."""
        return self._shared.encoding.view

    def shown(self, picture: Picture) -> Picture:
        """``picture`` as it is encoded: the view and the size that the output wants."""
        return picture_of(picture, self._shared.encoding)

    def encode(self, picture: Picture, *, key: bool = False, begins: bool = False) -> EncodedPicture:
        """As ``SharedEncoder.encode``. With ``begins``, only a key frame will do.

        Raises PictureSkipped, until the next key frame, once a picture was skipped.
        """
        encoded = self._shared.encode(picture, key=key or begins or self._next is None)
        if encoded is None or not (encoded.key or (encoded.number == self._next and not begins)):
            self._next = None
            raise PictureSkipped
        self._next = encoded.number + 1
        return encoded


class CameraEncoders:
    """The encoders of one camera: one for each way in which its outputs want the pictures. Any thread may ask.

    Args:
        camera: its name, for events.
        publish: told when NVENC cannot be used.
        sound: the camera's; None without any.
    """

    def __init__(self, *, camera: str, publish: Publish, sound: SoundTrack | None = None) -> None:
        self._sound = sound
        self._camera = camera
        self._publish = publish
        self._lock = threading.Lock()
        self._encoders: dict[Encoding, SharedEncoder] = {}

    def get(self, encoding: Encoding = AS_IT_COMES) -> SharedEncoder:
        """The one that encodes so; it costs nothing until it is given a picture."""
        with self._lock:
            if encoding not in self._encoders:
                self._encoders[encoding] = SharedEncoder(
                    camera=self._camera, publish=self._publish, encoding=encoding, sound=self._sound
                )
            return self._encoders[encoding]

    @property
    def sound_format(self) -> SoundFormat | None:
        """That of the camera's sound; None before any, and where none is wanted."""
        return None if self._sound is None else self._sound.format

    @property
    def name(self) -> str | None:
        """What encodes: ``nvenc`` or ``x264``; None before the first picture."""
        with self._lock:
            names = (encoder.name for encoder in self._encoders.values())
            return next((name for name in names if name is not None), None)
