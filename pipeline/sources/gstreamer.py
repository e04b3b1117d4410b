"""Decoding by an element of GStreamer, where that reaches hardware that FFmpeg does not: NVDEC of a Jetson.

FFmpeg reads the camera as ever; its packets go through GStreamer, and frames come back. So everything that watches
the camera (time stamps, stalls, lost packets, bursts) is the same.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream

from .base import SourceLostError
from .frame_skipping import DecodeLevel
from .packets import Packet

# The decoder and what brings its frames to main memory, as GStreamer calls them.
ELEMENTS = ("nvv4l2decoder", "nvvidconv")
CAPS = {"h264": "video/x-h264", "hevc": "video/x-h265"}
PARSERS = {"h264": "h264parse", "hevc": "h265parse"}
# Packets that may wait for the decoder, in bytes. More, and it hangs.
WAITING_MOST = 8 * 2**20
# Seconds that a packet's frame is waited for. A decoder that needs more keeps frames back, and then its frames are
# taken as they come.
FRAME_WAIT = 0.04
END_WAIT = 1.0
# Nanoseconds that time stamps are moved by, since GStreamer's cannot be below zero.
SHIFT = 10**15


@contextmanager
def open_decoder(stream: VideoStream, time_base: Fraction) -> Iterator[GStreamerDecoder]:
    """A decoder of the stream's packets, ended at the end.

    Raises SourceLostError, whose ``nvdec`` says that FFmpeg is worth a try, if GStreamer cannot decode it here.
    """
    decoder = GStreamerDecoder(stream, time_base)
    try:
        yield decoder
    finally:
        decoder.close()


def _keep_unwinding() -> None:
    """Have C++ exceptions go on being unwound by libgcc.

    GStreamer brings libunwind, whose functions have the names of libgcc's, and the bindings load it for everybody.
    OpenVINO's conversion then crashed at its first exception, by Debian 12's GStreamer 1.22. What was loaded for
    everybody before is found first.
    """
    with suppress(OSError):  # not there where GStreamer comes without libunwind, as on musl
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)


class GStreamerDecoder:
    """Decodes H.264 and H.265 in whole pictures, by ``ELEMENTS``; see ``open_decoder``.

    Args:
        stream: of a container over the network, whose packets begin with start codes.
        time_base: seconds a tick of its time stamps.
    """

    def __init__(self, stream: VideoStream, time_base: Fraction) -> None:
        _keep_unwinding()
        import gi

        for name in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(name, "1.0")
        from gi.repository import Gst, GstApp, GstVideo

        self._gst, self._video = Gst, GstVideo
        Gst.init(None)
        context = stream.codec_context
        codec = context.name
        if codec not in CAPS:
            raise SourceLostError(
                "unsupported", f"GStreamer is asked for H.264 and H.265 alone, not {codec}", nvdec=True
            )
        for element in (PARSERS[codec], *ELEMENTS):
            if Gst.ElementFactory.find(element) is None:
                raise SourceLostError("unsupported", f"GStreamer has no {element} here", nvdec=True)
        decoder, converter = ELEMENTS
        self._pipeline: Any = Gst.parse_launch(
            f"appsrc name=in format=time max-bytes=0 caps={CAPS[codec]},stream-format=byte-stream,alignment=au"
            f" ! {PARSERS[codec]} ! {decoder} ! {converter} ! video/x-raw,format=NV12"
            " ! appsink name=out sync=false max-buffers=16"
        )
        self._in: Any = self._pipeline.get_by_name("in")
        self._out: Any = self._pipeline.get_by_name("out")
        assert isinstance(self._out, GstApp.AppSink)
        self._bus: Any = self._pipeline.get_bus()
        self._time_base = time_base
        # Parameter sets may stand in what the server said of the stream, and in no packet.
        self._first = bytes(context.extradata or b"")
        self._colours = context.colorspace, context.color_range
        self._sent = self._got = 0
        self._kept = (
            0  # packets whose frames are not waited for: the decoder keeps them back, or they have none
        )
        if self._pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            fault = self._fault() or "it does not start"
            self.close()
            raise SourceLostError("unsupported", f"GStreamer: {fault}", nvdec=True)

    def decode(self, packet: Packet, level: DecodeLevel) -> list[av.VideoFrame]:
        """The frames that are complete once a packet has come; none if ``level`` leaves it out.

        Raises SourceLostError if GStreamer fails.
        """
        if (level == "keys" and not packet.is_keyframe) or (level == "references" and packet.is_disposable):
            return []
        buffer = self._gst.Buffer.new_wrapped(self._first + bytes(packet))
        self._first = b""
        buffer.pts = self._nanoseconds(packet.pts)
        buffer.dts = self._nanoseconds(packet.dts)
        self._in.push_buffer(buffer)
        self._sent += 1
        if packet.is_keyframe:  # what one slow or damaged picture taught is tried anew
            self._kept = 0
        frames = list(self._frames(FRAME_WAIT))
        self._kept = self._waiting
        fault = self._fault()
        if fault is None and self._in.get_current_level_bytes() > WAITING_MOST:
            fault = "the decoder takes nothing any more"
        if fault is not None:
            raise SourceLostError("decode", f"GStreamer: {fault}", nvdec=not self._got)
        return frames

    def rest(self) -> Iterator[av.VideoFrame]:
        """What the decoder kept back, once no more packets come."""
        self._in.end_of_stream()
        self._kept = 0
        return self._frames(END_WAIT)

    def close(self) -> None:
        """End it."""
        self._pipeline.set_state(self._gst.State.NULL)

    @property
    def _waiting(self) -> int:
        """Packets whose frame has not come. Damaged ones have none, so it is an upper bound."""
        return self._sent - self._got

    def _frames(self, patience: float) -> Iterator[av.VideoFrame]:
        until = time.monotonic() + patience
        while True:
            wait = max(0.0, until - time.monotonic()) if self._waiting > self._kept else 0.0
            sample = self._out.try_pull_sample(int(wait * self._gst.SECOND))
            if sample is None:
                return
            self._got = min(self._got + 1, self._sent)
            yield self._frame(sample)

    def _frame(self, sample: Any) -> av.VideoFrame:
        """A sample's pixels, copied, as FFmpeg would have given them."""
        info = self._video.VideoInfo.new_from_caps(sample.get_caps())
        buffer = sample.get_buffer()
        meta = self._video.buffer_get_video_meta(buffer)
        layout = info if meta is None else meta
        frame = av.VideoFrame(info.width, info.height, "nv12")
        # Not map(), which is another function where GStreamer's own additions to the bindings are installed.
        pixels = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        for number, plane in enumerate(frame.planes):
            width, rows = (2 if number else 1) * plane.width, plane.height  # U and V stand side by side
            given = np.lib.stride_tricks.as_strided(
                pixels[layout.offset[number] :], (rows, width), (layout.stride[number], 1), writeable=False
            )
            np.frombuffer(memoryview(plane), np.uint8).reshape(rows, plane.line_size)[:, :width] = given
        # To a picture without a time stamp GStreamer gives one that it makes up, from 0 on.
        if buffer.pts != self._gst.CLOCK_TIME_NONE and buffer.pts > SHIFT // 2:
            frame.pts = round(Fraction(buffer.pts - SHIFT, self._gst.SECOND) / self._time_base)
        frame.time_base = self._time_base
        frame.colorspace, frame.color_range = self._colours
        return frame

    def _nanoseconds(self, ticks: int | None) -> int:
        none: int = self._gst.CLOCK_TIME_NONE
        return none if ticks is None else round(ticks * self._time_base * self._gst.SECOND) + SHIFT

    def _fault(self) -> str | None:
        """What GStreamer has said went wrong since it was asked last."""
        message = self._bus.pop_filtered(self._gst.MessageType.ERROR)
        return None if message is None else str(message.parse_error()[0].message)
