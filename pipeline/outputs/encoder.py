"""Pictures to H.264: the settings every output shares.

Pictures on a GPU are encoded by its NVENC where they lie. Where there is none, as on the H200, or all its sessions
are taken, they come to the host as NV12, half of RGB, and x264 encodes them like those that were there all along.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from nightday.engines import device_copies

from ..analysis.draw import MARK
from ..core.faults import detail_of
from ..core.frame import Frame, Picture
from ..media import gpu_video, nv12

log = logging.getLogger(__name__)

KEYFRAME_SECONDS = 2.0  # a viewer who joins waits for at most this long
HD_HEIGHT = 720  # from here on players take unmarked video for BT.709, below for BT.601
KEPT = 8  # encoded pictures kept for slower outputs: twice what one may lie behind
NOMINAL_RATE = 25  # only the encoder's rate control looks at it; the frames' own PTS are what counts
NOTE = f"nightday-stream: pictures marked '{MARK}' are generated"

# x264's and FFmpeg's names for one matrix: what converts, and the three tags a player reads.
_BT709 = (Colorspace.ITU709, 1, ColorPrimaries.BT709, ColorTrc.BT709)
_BT601 = (Colorspace.SMPTE170M, 6, ColorPrimaries.SMPTE170M, ColorTrc.SMPTE170M)


# As x264 below: no frame held back, key frames when they are asked for and not at changes of scene, a quality of 23.
# Not run on a GPU yet.
NVENC_OPTIONS = {
    "preset": "p4", "tune": "ull", "zerolatency": "1", "delay": "0", "bf": "0", "forced-idr": "1",
    "no-scenecut": "1", "rc": "vbr", "cq": "23",
}  # fmt: skip


class Encoder:
    """Pictures to H.264 packets: 4:2:0, limited range, Annex B with the parameter sets before each key frame.

    No frame is held back (x264's "zerolatency"), so there is nothing to flush at the end. A key frame comes
    first, then every ``KEYFRAME_SECONDS`` and whenever it is asked for.

    The picture is cropped to even width and height (at most one row and one column at the bottom and the
    right), which 4:2:0 needs. BT.709 from 720 rows, BT.601 below, and marked as such.

    Args:
        picture: the first picture; see ``takes`` for those that follow.
        preset: x264's.
        nvenc: whether NVENC encodes, which takes pictures on a GPU alone.

    Raises what PyAV raises.
    """

    def __init__(self, picture: Picture, *, preset: str, nvenc: bool = False) -> None:
        self.nvenc = nvenc
        self.size = even_size(picture)
        self._gpu = picture.rgb.device if isinstance(picture.rgb, Tensor) else None
        self.time_base = picture.frame.time_base
        width, height = self.size
        self._matrix, space, primaries, transfer = _BT709 if height >= HD_HEIGHT else _BT601
        # One thread: x264 at "veryfast" does 1080p at more than camera rate on one, and would otherwise take
        # a thread for every core, for every output of every camera.
        x264 = {"preset": preset, "tune": "zerolatency", "forced-idr": "1", "crf": "23", "threads": "1"}
        if nvenc:
            context = _codec("h264_nvenc", "cuda", NVENC_OPTIONS)
            context.bit_rate = 0  # the quality alone decides
        else:
            context = _codec("libx264", "yuv420p" if self._gpu is None else "nv12", x264)
        self._reformatter = VideoReformatter()  # a new one each time takes longer than the conversion
        self._packed: Tensor | None = None
        self._cuda = gpu_video.context_for(self._gpu) if nvenc and self._gpu is not None else None
        context.width, context.height = width, height
        context.time_base, context.framerate = self.time_base, Fraction(NOMINAL_RATE)
        context.gop_size = 10_000  # key frames are asked for by time, see below
        context.color_range, context.colorspace = ColorRange.MPEG, space
        context.color_primaries, context.color_trc = primaries, transfer
        self._context = context
        self._keyframe_pts: int | None = None
        self._keyframe_every = max(1, round(Fraction(KEYFRAME_SECONDS) / self.time_base))

    def takes(self, picture: Picture) -> bool:
        """Whether ``picture`` has the size and the time base of the first one, and lies where that did."""
        there = picture.rgb.device if isinstance(picture.rgb, Tensor) else None
        return picture.frame.time_base == self.time_base and (even_size(picture), there) == (
            self.size,
            self._gpu,
        )

    def encode(self, picture: Picture, *, key: bool = False) -> list[av.Packet]:
        """The packets of one picture, at its frame's PTS; a key frame if ``key``."""
        frame = self._frame(picture)
        frame.pts, frame.time_base = picture.frame.pts, self.time_base
        if key or self._keyframe_pts is None or frame.pts - self._keyframe_pts >= self._keyframe_every:
            frame.pict_type = av.video.frame.PictureType.I
            self._keyframe_pts = frame.pts
        return self._context.encode(frame)

    def _frame(self, picture: Picture) -> av.VideoFrame:
        """The picture as the encoder takes it."""
        width, height = self.size
        rgb = picture.rgb[:height, :width]
        if not isinstance(rgb, Tensor):
            return self._reformatter.reformat(
                av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(rgb), format="rgb24"),
                format="yuv420p", dst_colorspace=self._matrix, dst_color_range=ColorRange.MPEG, threads=1,
            )  # fmt: skip
        # The same memory for every picture: NVENC has done with it when it gives the packet, and remembers the
        # addresses that it has seen.
        packed = nv12.from_rgb(rgb, colorspace=self._context.colorspace, out=self._packed)
        self._packed = packed
        if self.nvenc:
            return gpu_video.as_frame(packed, self._cuda)
        return av.VideoFrame.from_ndarray(device_copies.to_host(packed.contiguous(), "encode"), format="nv12")


def _codec(name: str, pix_fmt: str, options: dict[str, str]) -> VideoCodecContext:
    context = VideoCodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.pix_fmt, context.options = pix_fmt, dict(options)
    return context


class LeftOut(Exception):  # noqa: N818 - nothing went wrong
    """A picture is of no use to an output: one that it needs was left out before, or it comes too late.

    A key frame has been asked for, with which the output can go on.
    """


@dataclass(frozen=True, slots=True)
class Coded:
    """One encoded picture.

    Attributes:
        data: H.264, Annex B; the parameter sets before a key frame.
        pts: its frame's, in ticks of ``time_base``.
        key: whether decoding can begin here.
        number: counts the encoded pictures: each needs the one before, unless it is a key frame.
        stream: counts what belongs together: another begins with another size or time base, or when time goes back.
        size: width and height.
        decoded_at: its frame's.
    """

    data: bytes
    pts: int
    time_base: Fraction
    key: bool
    number: int
    stream: int
    size: tuple[int, int]
    decoded_at: float

    def is_of(self, frame: Frame) -> bool:
        """Whether it shows ``frame``."""
        return (self.pts, self.time_base, self.decoded_at) == (frame.pts, frame.time_base, frame.decoded_at)

    def packet(self, stream: VideoStream) -> av.Packet:
        """A packet for ``stream`` alone: muxing changes it."""
        packet = av.Packet(self.data)
        packet.stream = stream
        packet.pts = packet.dts = self.pts
        packet.time_base = self.time_base
        packet.is_keyframe = self.key
        return packet


class SharedEncoder:
    """Encodes each picture once, for all outputs of a camera: in the thread of the one that asks first.

    At 1080p encoding is nearly all that an output costs. What an output waits for here is encoding that it would
    have to do itself; reading and writing, which may block, are done outside.

    Args:
        preset: x264's.
        camera: its name, for the log.
    """

    def __init__(self, *, preset: str = "veryfast", camera: str = "") -> None:
        self._preset = preset
        self._camera = camera
        self._nvenc = True  # until it fails
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        self._kept: deque[Coded] = deque(maxlen=KEPT)
        self._number = self._stream = 0
        self._key_wanted = False

    def encode(self, picture: Picture, *, key: bool) -> Coded | None:
        """``picture`` encoded; None if it comes too late, later ones having been encoded without it.

        ``key`` asks for a key frame: this picture is one if nobody asked for it before, else the next one.
        Raises what PyAV raises, and ValueError for a picture too small to encode.
        """
        frame = picture.frame
        with self._lock:
            back = self._kept and frame.pts * frame.time_base <= self._kept[-1].pts * self._kept[-1].time_base
            if back and frame.decoded_at <= self._kept[-1].decoded_at:
                coded = next((coded for coded in self._kept if coded.is_of(frame)), None)
                self._key_wanted |= key and not (coded is not None and coded.key)
                return coded
            encoder = self._encoder
            if back or encoder is None or not encoder.takes(picture):
                encoder = self._begin(picture)
            packet, encoder = self._packet(encoder, picture, key=key or self._key_wanted)
            self._key_wanted = False
            self._number += 1
            coded = Coded(
                data=bytes(packet), pts=frame.pts, time_base=frame.time_base, key=packet.is_keyframe,
                number=self._number, stream=self._stream, size=encoder.size, decoded_at=frame.decoded_at,
            )  # fmt: skip
            self._kept.append(coded)
            return coded

    @property
    def name(self) -> str | None:
        """What encodes: ``nvenc`` or ``x264``; None before the first picture."""
        encoder = self._encoder
        return None if encoder is None else "nvenc" if encoder.nvenc else "x264"

    def _begin(self, picture: Picture) -> Encoder:
        """A new stream, by NVENC if the picture lies on a GPU and that has not failed before."""
        even_size(picture)  # whose fault would not be NVENC's
        encoder = None
        if self._nvenc and isinstance(picture.rgb, Tensor):
            try:
                encoder = Encoder(picture, preset=self._preset, nvenc=True)
            except Exception as error:  # an FFmpeg built without it, say
                self._give_up_nvenc(error)
        self._encoder = encoder or Encoder(picture, preset=self._preset)
        self._stream += 1
        return self._encoder

    def _packet(self, encoder: Encoder, picture: Picture, *, key: bool) -> tuple[av.Packet, Encoder]:
        """The picture encoded, and by what. NVENC opens with the first one, and may fail at any."""
        try:
            (packet,) = encoder.encode(picture, key=key)
        except Exception as error:
            if not encoder.nvenc:
                raise
            self._give_up_nvenc(error)
            encoder = self._begin(picture)
            (packet,) = encoder.encode(picture, key=key)
        return packet, encoder

    def _give_up_nvenc(self, error: Exception) -> None:
        self._nvenc = False
        log.warning(
            "%s: NVENC does not encode here (%s); pictures come to the host for x264",
            self._camera, detail_of(error), extra={"event": "nvenc_missing", "camera": self._camera},
        )  # fmt: skip


class Feed:
    """One output's view of a shared encoder: only what it can decode, having had what came before."""

    def __init__(self, shared: SharedEncoder) -> None:
        self._shared = shared
        self._next: int | None = None

    def encode(self, picture: Picture, *, key: bool = False, begins: bool = False) -> Coded:
        """As ``SharedEncoder.encode``. ``begins`` takes nothing but a key frame.

        Raises LeftOut, until the next key frame, once a picture was left out.
        """
        coded = self._shared.encode(picture, key=key or begins or self._next is None)
        if coded is None or not (coded.key or (coded.number == self._next and not begins)):
            self._next = None
            raise LeftOut
        self._next = coded.number + 1
        return coded


def add_video(container: OutputContainer, coded: Coded) -> VideoStream:
    """A stream of ``container`` for pictures like ``coded``; its header must not be written yet."""
    width, height = coded.size
    stream = container.add_mux_stream("h264", rate=NOMINAL_RATE, width=width, height=height)
    assert isinstance(stream, VideoStream)
    stream.time_base = coded.time_base
    return stream


def even_size(picture: Picture) -> tuple[int, int]:
    """Width and height of the encoded picture. Raises ValueError if there is nothing left of it."""
    height, width = int(picture.rgb.shape[0]) & ~1, int(picture.rgb.shape[1]) & ~1
    if not width or not height:
        raise ValueError(f"a picture of {picture.rgb.shape[1]}x{picture.rgb.shape[0]} is too small to encode")
    return width, height
