"""Pictures to H.264: the settings every output shares."""

from __future__ import annotations

from fractions import Fraction

import av
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from pipeline.compose import MARK
from pipeline.frame import Picture

KEYFRAME_SECONDS = 2.0  # a viewer who joins waits for at most this long
HD_HEIGHT = 720  # from here on players take unmarked video for BT.709, below for BT.601
NOMINAL_RATE = 25  # only the encoder's rate control looks at it; the frames' own PTS are what counts
NOTE = f"nightday-stream: pictures marked '{MARK}' are generated"

# x264's and FFmpeg's names for one matrix: what converts, and the three tags a player reads.
_BT709 = (Colorspace.ITU709, 1, ColorPrimaries.BT709, ColorTrc.BT709)
_BT601 = (Colorspace.SMPTE170M, 6, ColorPrimaries.SMPTE170M, ColorTrc.SMPTE170M)


class Encoder:
    """One H.264 stream of a container: yuv420p, limited range.

    No frame is held back (x264's "zerolatency"), so there is nothing to flush at the end.

    The picture is cropped to even width and height (at most one row and one column at the bottom and the
    right), which 4:2:0 needs. BT.709 from 720 rows, BT.601 below, and marked as such.

    Args:
        container: opened for writing, its header not yet written.
        picture: the first picture; all that follow must be of its size.
        preset: x264's.

    Raises what PyAV raises.
    """

    def __init__(self, container: OutputContainer, picture: Picture, *, preset: str) -> None:
        self._container = container
        self.size = even_size(picture)
        width, height = self.size
        self._matrix, space, primaries, transfer = _BT709 if height >= HD_HEIGHT else _BT601
        # One thread: x264 at "veryfast" does 1080p at more than camera rate on one, and would otherwise take
        # a thread for every core, for every output of every camera.
        options = {"preset": preset, "tune": "zerolatency", "forced-idr": "1", "crf": "23", "threads": "1"}
        stream = container.add_stream("libx264", rate=NOMINAL_RATE, options=options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = picture.frame.time_base
        context.gop_size = 10_000  # key frames are asked for by time, see below
        context.color_range, context.colorspace = ColorRange.MPEG, space
        context.color_primaries, context.color_trc = primaries, transfer
        self._keyframe_pts: int | None = None
        self._keyframe_every = max(1, round(Fraction(KEYFRAME_SECONDS) / picture.frame.time_base))

    def write(self, picture: Picture) -> None:
        """Encode one picture at its frame's PTS and write it."""
        width, height = self.size
        frame = av.VideoFrame.from_ndarray(picture.rgb[:height, :width], format="rgb24").reformat(
            format="yuv420p", dst_colorspace=self._matrix, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = picture.frame.pts, picture.frame.time_base
        if self._keyframe_pts is None or frame.pts - self._keyframe_pts >= self._keyframe_every:
            frame.pict_type = av.video.frame.PictureType.I
            self._keyframe_pts = frame.pts
        self._container.mux(self._stream.encode(frame))


def even_size(picture: Picture) -> tuple[int, int]:
    """Width and height of the encoded picture. Raises ValueError if there is nothing left of it."""
    height, width = picture.rgb.shape[0] & ~1, picture.rgb.shape[1] & ~1
    if not width or not height:
        raise ValueError(f"a picture of {picture.rgb.shape[1]}x{picture.rgb.shape[0]} is too small to encode")
    return width, height
