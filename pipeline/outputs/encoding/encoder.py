"""Pictures to H.264 or H.265: the settings that all outputs share."""

from __future__ import annotations

import statistics
import zlib
from collections import deque
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from nightday.engines import device_copies
from nightday.engines.video import colour, look

from ...analysis.draw import MARK
from ...core.frame import Picture
from ...media import gpu_video, nv12
from .settings import FFMPEG_ENCODERS, VideoCodec

# A viewer who joins waits for at most this long, in seconds, until the picture appears.
KEYFRAME_SECONDS = 2.0
# The earliest that a camera has its first key frame after one that was asked for, as a share of the usual interval.
EARLIEST = 0.1
# Frames a second that only the encoder's rate control looks at. ``sps`` takes it out of what is encoded.
NOMINAL_RATE = 25
# Pictures by which the rate is judged that a bit rate counts on, and what share of that it may be. Where it is lower,
# the bit rate only is, too.
RATE_PICTURES = 50
RATE_SHARES = 0.5, 1.2
# What an output's metadata says where generated pictures may come.
GENERATED_COMMENT = f"nightday-stream: pictures marked '{MARK}' are generated"

# As for x264 below: no frame is held back, key frames come when they are asked for and not at changes of scene, and
# the quality is 23. It has not run on a GPU yet. H.265 takes the same.
NVENC_OPTIONS = {
    "preset": "p4",
    "tune": "ull",
    "zerolatency": "1",
    "delay": "0",
    "bf": "0",
    "forced-idr": "1",
    "no-scenecut": "1",
    "rc": "vbr",
    "cq": "23",
}


# One thread, as for x264, and no rate in the parameter sets. Its quality 28 is about x264's 23.
X265_OPTIONS = {
    "tune": "zerolatency",
    "forced-idr": "1",
    "crf": "28",
    "x265-params": "vui-timing-info=0:repeat-headers=1:scenecut=0:open-gop=0:pools=none:frame-threads=1:wpp=0:"
    "log-level=error",
}


def turn_of(camera: str) -> float:
    """When a camera has its key frames; the same each time, and spread evenly over cameras. 1 for none."""
    return 1.0 - (1.0 - EARLIEST) * zlib.crc32(camera.encode()) / 2**32


class Encoder:
    """Pictures to packets of H.264 or H.265: 4:2:0, Annex B with the parameter sets before each key frame.

    No frame is held back ("zerolatency"), so there is nothing to flush at the end. A key frame comes
    first, then every ``KEYFRAME_SECONDS`` and whenever it is asked for.

    The picture is cropped to even width and height (at most one row and one column at the bottom and the
    right), which 4:2:0 needs. Range, colour tags and pixel aspect are the camera's own, so that a player shows both
    alike; what the camera leaves out is marked as ``engines/video/colour.py`` reads it.

    Args:
        picture: the first picture; see ``accepts`` for those that follow.
        preset: x264's and x265's.
        codec: what is made.
        nvenc: whether NVENC encodes.
        bitrate: bits a second at the most, on average over a second; None: what the quality takes.
        rate: pictures a second that the bit rate counts on, since the encoder counts pictures and no time.
        level: H.264's, times 10; None: what rate and size take.
        turn: when in the usual interval key frames come after one that was asked for, 0 to 1. Cameras that begin
            together, or files that do, would otherwise have theirs at one moment for ever, and each costs as much as
            two other pictures.

    Raises what PyAV raises.
    """

    def __init__(
        self,
        picture: Picture,
        *,
        preset: str,
        codec: VideoCodec = "h264",
        nvenc: bool = False,
        bitrate: int | None = None,
        rate: float | None = None,
        level: int | None = None,
        turn: float = 1.0,
    ) -> None:
        self.nvenc, self.codec = nvenc, codec
        self.size = even_size(picture)
        self._gpu = picture.rgb.device if isinstance(picture.rgb, Tensor) else None
        self.time_base = picture.frame.time_base
        width, height = self.size
        self.pixel_aspect = picture.pixel_aspect
        self._colour = _colour(picture)
        # One thread: x264 at "veryfast" does 1080p at more than camera rate on one, and would otherwise take
        # a thread for every core, for every output of every camera.
        x264 = {"preset": preset, "tune": "zerolatency", "forced-idr": "1", "crf": "23", "threads": "1"}
        limit = {} if bitrate is None else {"maxrate": str(bitrate), "bufsize": str(bitrate)}
        if level is not None:
            x264["level"] = str(level)
        self._limited, self._rate = bitrate is not None, rate or float(NOMINAL_RATE)
        self._intervals: deque[float] = deque(maxlen=RATE_PICTURES)
        self._last_pts: int | None = None
        on_host = "yuv420p" if self._gpu is None else "nv12"
        name = FFMPEG_ENCODERS[codec, nvenc]
        if nvenc:
            context = _codec(name, on_host if self._gpu is None else "cuda", NVENC_OPTIONS | limit)
            context.bit_rate = 0  # the quality alone decides
        elif codec == "hevc":
            # x265 takes no NV12.
            context = _codec(name, "yuv420p", {"preset": preset} | X265_OPTIONS | limit)
        else:
            context = _codec(name, on_host, x264 | limit)
        self._reformatter = VideoReformatter()  # a new one each time takes longer than the conversion
        self._packed: Tensor | None = None
        self._cuda = gpu_video.context_for(self._gpu) if nvenc and self._gpu is not None else None
        context.width, context.height = width, height
        context.time_base = self.time_base
        context.framerate = Fraction(self._rate).limit_denominator(1000) or Fraction(1, 1000)
        context.gop_size = 10_000  # key frames are asked for by time, see below
        context.color_range = ColorRange.JPEG if self._colour.full_range else ColorRange.MPEG
        context.colorspace = self._colour.matrix_tag
        context.color_primaries, context.color_trc = self._colour.primaries, self._colour.transfer
        if self.pixel_aspect != look.SQUARE:
            context.sample_aspect_ratio = self.pixel_aspect
        self._context = context
        self._keyframe_pts: int | None = None
        self._keyframe_every = max(1, round(Fraction(KEYFRAME_SECONDS) / self.time_base))
        self._first_wait = max(1, round(turn * self._keyframe_every))
        self._wait = self._keyframe_every
        self._asked_pts: int | None = None

    def accepts(self, picture: Picture) -> bool:
        """Whether ``picture`` has size, look and time base of the first one, and is on the same device."""
        device = picture.rgb.device if isinstance(picture.rgb, Tensor) else None
        same_place = (even_size(picture), device) == (self.size, self._gpu)
        same_look = (picture.pixel_aspect, _colour(picture)) == (self.pixel_aspect, self._colour)
        same_time = picture.frame.time_base == self.time_base
        return same_place and same_look and same_time

    @property
    def measured_rate(self) -> float | None:
        """Pictures a second lately, pauses left out; None until enough have come."""
        if len(self._intervals) < RATE_PICTURES:
            return None
        return 1 / max(statistics.median(self._intervals), 1e-3)

    @property
    def rate_is_off(self) -> bool:
        """Whether a bit rate is to be kept, and the camera's rate is not about the one that it counts on."""
        rate = self.measured_rate if self._limited else None
        least, most = RATE_SHARES
        return rate is not None and not least < rate / self._rate < most

    def encode(self, picture: Picture, *, key: bool = False) -> list[av.Packet[VideoStream]]:
        """The packets of one picture, at its frame's PTS; a key frame if ``key``."""
        frame = self._frame(picture)
        frame.pts, frame.time_base = picture.frame.pts, self.time_base
        if self._last_pts is not None:
            self._intervals.append(float((frame.pts - self._last_pts) * self.time_base))
        self._last_pts = frame.pts
        asked = key or self._keyframe_pts is None
        if asked or self._keyframe_pts is None or frame.pts - self._keyframe_pts >= self._wait:
            frame.pict_type = av.video.frame.PictureType.I
            self._keyframe_pts = frame.pts
            self._wait = self._wait_after(frame.pts) if asked else self._keyframe_every
        return self._context.encode(frame)

    def _wait_after(self, pts: int) -> int:
        """Ticks from a key frame at ``pts`` that was asked for to the next."""
        before, self._asked_pts = self._asked_pts, pts
        # An output that asks for all of its key frames gets no others.
        often = before is not None and pts - before <= 2 * self._keyframe_every
        return self._keyframe_every if often else self._first_wait

    def _frame(self, picture: Picture) -> av.VideoFrame:
        """The picture as the encoder takes it."""
        width, height = self.size
        rgb = picture.rgb[:height, :width]
        if not isinstance(rgb, Tensor):
            own = _own_levels(picture, self._reformatter)
            return colour.from_rgb(rgb, self._colour, self._reformatter) if own is None else own
        # Every picture uses the same memory: NVENC no longer needs it once it has given the packet, and it keeps
        # resources for each address that it has seen.
        packed = nv12.from_rgb(
            rgb, colorspace=self._colour.matrix, full_range=self._colour.full_range, out=self._packed
        )
        self._packed = packed
        if self.nvenc:
            return gpu_video.as_frame(packed, self._cuda)
        frame = av.VideoFrame.from_ndarray(
            device_copies.to_host(packed.contiguous(), "encode"), format="nv12"
        )
        return self._reformatter.reformat(frame, format="yuv420p") if self.codec == "hevc" else frame


def _codec(name: str, pix_fmt: str, options: dict[str, str]) -> VideoCodecContext:
    context = VideoCodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.pix_fmt, context.options = pix_fmt, dict(options)
    return context


def _colour(picture: Picture) -> colour.Colour:
    """The colour of the camera's frame, whose rows, as they are stored, may be columns of the picture."""
    video = picture.frame.video
    return colour.colour_of(video, int(picture.rgb.shape[look.look_of(video).quarters % 2]))


def _own_levels(picture: Picture, reformatter: VideoReformatter) -> av.VideoFrame | None:
    """The camera's own levels of a picture that nothing was done to; None where something was, or they do not fit.

    By way of RGB a level is rounded twice, which players show in dark colours that are wider than the screen's.
    """
    video = picture.frame.video
    untouched = picture.rgb is picture.seen and picture.rgb.shape[:2] == (video.height, video.width)
    turned = look.look_of(video).mirrored or look.look_of(video).quarters
    if not untouched or turned or video.width % 2 or video.height % 2:
        return None
    planes = colour.eight_bits(video, reformatter)
    return None if planes is None else av.VideoFrame.from_ndarray(planes, format="yuv420p")


def title_of(*, generated: bool) -> str:
    """What a stream says of itself: how to tell generated pictures, where there may be any."""
    return GENERATED_COMMENT if generated else "nightday-stream"


def even_size(picture: Picture) -> tuple[int, int]:
    """Width and height of the encoded picture. Raises ValueError if there is nothing left of it."""
    height, width = int(picture.rgb.shape[0]) & ~1, int(picture.rgb.shape[1]) & ~1
    if not width or not height:
        raise ValueError(f"a picture of {picture.rgb.shape[1]}x{picture.rgb.shape[0]} is too small to encode")
    return width, height
