"""One connection to a source that FFmpeg reads: opening it and decoding it."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from itertools import filterfalse
from typing import Literal

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from nightday.engines.video.deinterlace import Deinterlacer
from nightday.engines.video.look import LookReader
from nightday.engines.video.streams import NoVideoError, best_video

from ..core.faults import detail_of
from ..core.packet_log import PacketMark
from ..media import gpu_video
from ..media.clock_watch import ClockWatch
from ..media.ffmpeg import BinaryInput, has_end, is_picture, open_input, reason_of
from ..media.interruptible import Watch, interruptible
from ..media.packet_digest import packet_digest
from .base import ConnectionSettings, Decoded, SourceLostError
from .frame_skipping import DecodeLevel
from .gstreamer import GStreamerDecoder, open_decoder
from .jpegs import NO_JPEG, ONE_PICTURE, SINGLE, checked
from .packets import PIECE_MOST, Arrival, LivePackets, Packet, demuxed, stalled
from .progress import Progress
from .steady_size import SteadySize
from .tls import UNCHECKED_PIECES

# FFmpeg's AVFMT_NOTIMESTAMPS: a format that has no time stamps, so that FFmpeg makes them up.
NO_TIME_STAMPS = 0x80
# FFmpeg's names of formats that come in pieces of several seconds.
IN_PIECES = ("hls", "dash")
# Ticks in which frames count that have no time stamps.
ARRIVAL_TIME_BASE = Fraction(1, 90_000)

SKIP_FRAME: dict[DecodeLevel, Literal["DEFAULT", "NONREF", "NONKEY"]] = {
    "all": "DEFAULT",
    "references": "NONREF",
    "keys": "NONKEY",
}
# Of codecs that have key frames only, one packet in so many is decoded.
INTRA_EVERY: dict[DecodeLevel, int] = {"all": 1, "references": 2, "keys": 4}


@contextmanager
def open_connection(
    address: str | BinaryInput,
    *,
    container_format: str | None = None,
    options: Mapping[str, str] | None = None,
    live: bool | None,
    settings: ConnectionSettings,
) -> Iterator[FFmpegConnection]:
    """Open an address and close it at the end. Raises SourceLostError.

    Args:
        address: what FFmpeg is to open, secrets included; or a file object to read from.
        container_format: FFmpeg's name of the format, where it cannot tell by itself.
        options: FFmpeg's options for protocol and format.
        live: whether the source sets the pace; else it is a file. None: it does unless what was opened has an end.
        settings: limits, and what the connection reports to.
    """
    with interruptible(Watch(settings.stop)) as watch:
        began = settings.clock.monotonic()
        watch.expect(settings.open_timeout)
        try:
            container = open_input(
                address,
                container_format=container_format,
                options=options,
                open_timeout=settings.open_timeout,
                # Between two pieces there is silence; how much of it is too much is judged packet by packet.
                stall_timeout=settings.stall_timeout + (0.0 if live is False else PIECE_MOST),
                hwaccel=gpu_video.accelerator() if settings.nvdec else None,
            )
        except Exception as error:
            raise _not_opened(error, settings, began) from None
        with container, ExitStack() as stack:
            pieces = container.format.name in IN_PIECES
            if pieces and settings.ca is not None:
                raise SourceLostError("unsupported", UNCHECKED_PIECES)
            if live is None:
                live = _is_live(container)
            stream = _video_of(container)
            own = open_decoder(stream, _time_base_of(stream)) if settings.gstreamer else None
            decoder = None if own is None else stack.enter_context(own)
            packets = demuxed(container, stream, settings.stats, settings.damage, settings.sound)
            try:
                packets = checked(packets, container, stream)
            except Exception as error:
                raise _not_opened(error, settings, began) from None
            watch.expect(math.inf)
            if not live:
                yield FFmpegConnection(stream, _as_asked_for(packets, settings, watch), settings=settings)
                return
            clock_watch = ClockWatch(stamped=not container.format.flags & NO_TIME_STAMPS, pieces=pieces)
            held = LivePackets(
                packets,
                time_base=_time_base_of(stream),
                stall_timeout=settings.stall_timeout,
                watch=clock_watch,
                stop=settings.stop,
                clock=settings.clock,
                pieces=pieces,
                repeats=settings.repeats if pieces else None,
            )
            try:
                yield FFmpegConnection(
                    stream, held, settings=settings, clock_watch=clock_watch, decoder=decoder
                )
            finally:
                held.close()


def _video_of(container: InputContainer) -> VideoStream:
    """The stream to play. Raises SourceLostError if there is none that can be decoded."""
    try:
        return best_video(container)
    except NoVideoError as none:
        raise SourceLostError("unsupported" if none.unsupported else "decode", str(none)) from None


def _time_base_of(stream: VideoStream) -> Fraction:
    return stream.time_base or stream.codec_context.time_base


def _as_asked_for(packets: Iterator[Packet], settings: ConnectionSettings, watch: Watch) -> Iterator[Arrival]:
    while not settings.stop.is_set():
        watch.expect(settings.stall_timeout)
        packet = next(packets, None)
        if packet is None or settings.stop.is_set():
            return
        yield Arrival(packet, settings.clock.monotonic())


def _is_live(container: InputContainer) -> bool:
    """Whether what was opened has no end. Raises SourceLostError for a single picture, which is neither."""
    if is_picture(container):
        raise SourceLostError("unsupported", ONE_PICTURE if container.format.name == SINGLE else NO_JPEG)
    return not has_end(container)


def _not_opened(error: Exception, settings: ConnectionSettings, began: float) -> SourceLostError:
    if isinstance(error, SourceLostError):
        return error
    if settings.nvdec and _may_be_the_driver(error):
        return SourceLostError("decode", detail_of(error), nvdec=True)
    if settings.clock.monotonic() - began >= settings.open_timeout:
        return SourceLostError("timeout", f"no answer within {settings.open_timeout:g} s")
    return SourceLostError(reason_of(error), detail_of(error), cause=error)


def _may_be_the_driver(error: Exception) -> bool:
    """Whether an error at opening may come from the CUDA driver. FFmpeg says EPERM of a missing one."""
    kinds = (av.error.ExternalError, av.error.UnknownError, MemoryError, NotImplementedError)
    return isinstance(error, kinds) or getattr(error, "errno", None) == errno.EPERM


class FFmpegConnection:
    """Decodes the video of an open container, packet by packet: the best stream, deinterlaced where it needs that.

    Each frame says how it is to be shown (``engines/video/look.py``).

    A packet that cannot be decoded, and the first frames of another size in mid-stream, which may come from damage,
    are dropped and counted as "decode_error". Frames that ``settings.skipping`` leaves undecoded are counted as
    "skipped".

    Args:
        stream: what to decode. Whoever opened its container closes it.
        arrivals: its packets.
        settings: limits, and what the connection reports to.
        clock_watch: judges the clock of a live source; None for a file.
        decoder: decodes in FFmpeg's place.
    """

    def __init__(
        self,
        stream: VideoStream,
        arrivals: Iterable[Arrival],
        *,
        settings: ConnectionSettings,
        clock_watch: ClockWatch | None = None,
        decoder: GStreamerDecoder | None = None,
    ) -> None:
        self._arrivals = arrivals
        self._decoder = decoder
        self._context = stream.codec_context
        # Two threads that share a frame's slices. Frame threading would hold frames back, one for each thread more,
        # and no camera gets more than two cores.
        self._context.thread_type = "SLICE"
        self._context.thread_count = 2
        self._live = clock_watch is not None
        self._settings = settings
        self.clock_watch = clock_watch
        # Stamps that FFmpeg makes up may count in frames, which is too coarse for times of arrival.
        made_up = clock_watch is not None and clock_watch.reason is not None
        self.time_base = ARRIVAL_TIME_BASE if made_up else _time_base_of(stream)
        self.size = self._context.width, self._context.height
        """What is known of the pictures' width and height before the first; zeros if nothing is."""
        rate = stream.average_rate or stream.guessed_rate
        self.frame_seconds = float(1 / rate) if rate else 0.04
        self._intra_only = self._context.codec.intra_only
        self._level: DecodeLevel = "all"
        self._size = SteadySize()
        self._looks = LookReader(stream)
        self._fields = Deinterlacer()
        self._good = False  # whether a frame without an error has come
        self._progress = Progress(settings.stall_timeout, settings.clock.monotonic())
        self._now = settings.clock.monotonic()  # when a live source's last packet came
        self._shown_until: int | None = None  # the last PTS that an earlier connection has shown
        self._packets: PacketMark | None = None  # the packets so far, where they are logged

    def frames(self) -> Iterator[Decoded]:
        """Decoded frames, until the source ends or ``settings.stop`` is set. Raises SourceLostError."""
        try:
            yield from self._frames()
        except SourceLostError:
            raise
        except Exception as error:  # a fault in one source, whatever it is, must not end its camera
            if reason_of(error) == "timeout":
                raise stalled(self._settings.stall_timeout) from None
            raise SourceLostError(reason_of(error), detail_of(error), cause=error) from None

    def _frames(self) -> Iterator[Decoded]:
        arrivals = enumerate(self._arrivals)
        lost: Exception | None = None
        while True:
            try:
                number, arrival = next(arrivals)
            except StopIteration:
                break
            except Exception as error:
                lost = error
                break
            if self._settings.stop.is_set():
                return
            if not arrival.packet.size:  # the end, see below
                continue
            if self._live:
                self._see_packet(arrival)
            if arrival.repeated or self._shown_until is not None:
                self._see_repeat(arrival)
            if self._settings.packet_log is not None and not arrival.repeated:
                self._packets = self._settings.packet_log.add(packet_digest(arrival.packet))
            for frame in self._decode(arrival.packet, number):
                self._progress.saw_picture()
                if self._is_good(frame):
                    self._good = True
                    for whole in self._fields.frames(frame):
                        # Of key frames alone, one may wait in the decoder until the next has come.
                        on_time = arrival.on_time and self._level != "keys"
                        if not self._is_old(whole):
                            yield Decoded(whole, arrival.at, on_time, packets=self._packets)
                else:
                    self._settings.stats.count_dropped("decode_error")
            if self._live and (fault := self._progress.fault(good=self._good)) is not None:
                raise self._undecodable(fault)
        now = self._settings.clock.monotonic()
        for whole in filterfalse(self._is_old, self._held_back()):
            yield Decoded(whole, now, on_time=False, held_back=True, packets=self._packets)
        if lost is not None:
            raise lost

    def _held_back(self) -> Iterator[av.VideoFrame]:
        """What decoder and deinterlacer keep until they know that nothing more comes, or that it was the last."""
        with suppress(av.error.FFmpegError):  # such as a decoder that was emptied before
            for frame in self._context.decode(None) if self._decoder is None else self._decoder.rest():
                if self._is_good(frame):
                    yield from self._fields.frames(frame)
        yield from self._fields.rest()

    def _see_repeat(self, arrival: Arrival) -> None:
        """Note what has been shown by an earlier connection. It is decoded, since later pictures may refer to it."""
        pts, until = arrival.packet.pts, self._shown_until
        if pts is not None and arrival.repeated:
            self._shown_until = pts if until is None else max(pts, until)
        elif pts is not None and until is not None and arrival.packet.is_keyframe and pts <= until:
            self._shown_until = None  # the stream begins anew

    def _is_old(self, video: av.VideoFrame) -> bool:
        return self._shown_until is not None and video.pts is not None and video.pts <= self._shown_until

    def _see_packet(self, arrival: Arrival) -> None:
        """Note when a live source's packet came, and how much is to be decoded from it on."""
        skipping, key = self._settings.skipping, arrival.packet.is_keyframe
        self._now = arrival.at
        self._progress.saw_packet(arrival.at, key=key)
        skipping.saw_packet(now=self._settings.clock.monotonic(), waited=arrival.waited, key=key)
        # From key frames alone it goes back to the others at a key frame only: the others refer to skipped ones.
        if skipping.level != self._level and (self._level != "keys" or key):
            self._level = skipping.level
            self._context.skip_frame = SKIP_FRAME[self._level]

    def _decode(self, packet: av.Packet[VideoStream], number: int) -> list[av.VideoFrame]:
        """Frames of the connection's packet ``number``. Errors and frames that are left out are counted."""
        if self._intra_only and number % INTRA_EVERY[self._level]:
            self._settings.stats.count_dropped("skipped")
            return []
        try:
            by = self._decoder
            frames = packet.decode() if by is None else by.decode(packet, self._level)
        except av.error.FFmpegError as error:
            if self._settings.nvdec and not self._good and not isinstance(error, av.error.InvalidDataError):
                raise self._undecodable(
                    detail_of(error)
                ) from None  # the driver's fault; the data may be good
            self._settings.stats.count_dropped("decode_error")
            self._size.saw_error()
            self._progress.saw_error()
            return []
        self._progress.saw_no_error()
        if not frames and self._level != "all":
            self._settings.stats.count_dropped("skipped")
        return frames

    def _is_good(self, frame: av.VideoFrame) -> bool:
        """Whether a frame is to be shown: it has no error, and its size is believed.

        Raises SourceLostError for what nothing takes on the GPU: a format, or interlaced frames.
        """
        if self._settings.nvdec and gpu_video.on_gpu(frame):
            name = gpu_video.sw_format_of(frame)
            if name not in gpu_video.SHARED:
                raise self._undecodable(f"PyAV does not hand over {name}")
            if frame.interlaced_frame:
                raise SourceLostError(
                    "decode", "it is interlaced, and fields are put together on the CPU", nvdec=True
                )
        if frame.is_corrupt:
            self._size.saw_error()
            return False
        look = self._looks.give(frame)
        shape = (frame.width, frame.height, look, frame.colorspace, frame.color_range)
        return not self._live or self._size.accepts(shape, self._now)

    def _undecodable(self, detail: str) -> SourceLostError:
        elsewhere = self._settings.nvdec or self._decoder is not None
        return SourceLostError("decode", detail, nvdec=elsewhere and not self._good)
