"""One camera's input: a thread that opens it, decodes it, and opens it again when it is lost."""

from __future__ import annotations

import errno
import logging
import math
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from ..core.backoff import Backoff
from ..core.camera_url import CameraUrl
from ..core.clock import Clock, SystemClock
from ..core.counters import CameraStats, DropReason
from ..core.faults import FaultReason, detail_of
from ..core.frame import Frame
from ..media import gpu_video
from ..media.ffmpeg import open_input, reason_of
from ..media.interruptible import Watch, interruptible
from ..media.malloc_trim import malloc_trimmer
from ..media.timeline import Timeline
from .frame_skipping import KEY_INTERVAL_MOST, DecodeLevel, FrameSkipping
from .latest_slot import LatestSlot

log = logging.getLogger(__name__)

ReaderState = Literal["starting", "playing", "retrying", "finished", "failed", "stopped"]

GOOD_RUN = 30.0  # seconds of pictures after which a loss is a new fault and the back-off starts afresh
CORRUPT_RUN = 100  # containers' read errors without a packet between them until the connection is given up
# Seconds of nothing but errors after pictures that were good until the decoder is opened anew: a damaged stream
# gives a picture now and then, one whose codec has changed never does.
BROKEN_RUN = 3.0
# Frames in a row without an error, or seconds with no frame of another size, until a new size in mid-stream counts.
# One damaged parameter set makes a second's frames another size, for which engines would be compiled, files begun and
# the background thrown away: two such sizes a minute at 1 % of damaged bytes.
SIZE_FRAMES, SIZE_SECONDS = 8, 5.0
SKIP: dict[DecodeLevel, Literal["DEFAULT", "NONREF", "NONKEY"]] = {
    "all": "DEFAULT",
    "references": "NONREF",
    "keys": "NONKEY",
}
# Codecs that have no other frames than key frames: one packet in so many is decoded.
INTRA_EVERY: dict[DecodeLevel, int] = {"all": 1, "references": 2, "keys": 4}
# A camera that refuses the login gets few tries: many lock an account after a handful in a row.
UNAUTHORISED_BACKOFF = Backoff(first=60.0, cap=600.0, floor=20.0)


@dataclass(frozen=True, slots=True)
class ReaderEvent:
    """A camera's change of state. ``reason`` and ``detail`` say why, None and "" while all is well.

    States: ``starting`` (first try), ``playing``, ``retrying`` (lost or not there yet; tried again),
    ``finished`` (a file's end), ``failed`` (a file that cannot be read), ``stopped`` (asked to; with the
    reason it was ``retrying`` for, if it was).

    ``retry_at`` is when the next try of a camera that is ``retrying`` is due, on the pipeline's monotonic clock;
    it has passed while that try is under way. Each try sets it anew in ``Reader.event``; ``on_event`` is told of
    the first only.
    """

    camera: str
    state: ReaderState
    reason: FaultReason | None = None
    detail: str = ""
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class _End:
    """Why a connection ended, whether any frame came, and whether NVDEC is to blame if none did."""

    reason: FaultReason
    detail: str
    frames: int
    nvdec: bool = False


class Reader(threading.Thread):
    """Reads one camera for as long as it lives and puts its frames into its slot.

    A network source or device that is down or lost is tried again for ever, with back-off. A file is not:
    it ends ``finished``, or ``failed`` where it cannot be read. The thread ends within about 0.2 s of ``stop``,
    even while FFmpeg waits for the network; only a name look-up that hangs is waited for (it is a daemon thread).

    What a network source sent while it was being opened comes all at once. Those of its frames that nobody can
    take in time are dropped as "backlog": they are old, not too many. Later ones are dropped as "overload".

    A packet that cannot be decoded, a frame out of order, and the first ``SIZE_FRAMES`` of another size in
    mid-stream, which may come from damage, are dropped and counted as "decode_error". While
    most of what a live source sends is thrown away, less of it is decoded (``thinning``); what was not is dropped
    as "skipped".

    With ``nvdec`` frames are decoded on the GPU and stay there. What it cannot decode, or fails on before the first
    picture, is decoded on the CPU from then on, and the log says so once; the camera goes on.

    Args:
        camera: its name, for frames, events and the log.
        source: its address; never logged but masked.
        slot: where the frames go.
        stats: its counters.
        stop: set to end the thread.
        pace: for a file, ``realtime`` plays it at its own pace and drops what nobody takes in time, ``fast``
            goes as fast as frames are taken and loses none. Other sources set their own pace.
        loop: play a file again and again.
        open_timeout: seconds until a connection that does not come about is given up.
        stall_timeout: seconds without data, or without one frame that can be decoded, until it is lost.
        on_event: called in this thread at each change of state; must not block.
        backoff: waiting times between tries.
        unauthorised_backoff: those after a refused login; each counts its own tries.
        rng: draws their jitter.
        clock: time.
        timeline: where its frames' PTS go on, that of a reader that died; a new one by default.
        nvdec: whether to decode on the GPU.
    """

    def __init__(
        self,
        *,
        camera: str,
        source: CameraUrl,
        slot: LatestSlot,
        stats: CameraStats,
        stop: threading.Event,
        pace: Literal["realtime", "fast"] = "realtime",
        loop: bool = False,
        open_timeout: float = 10.0,
        stall_timeout: float = 10.0,
        on_event: Callable[[ReaderEvent], None] | None = None,
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
        unauthorised_backoff: Backoff = UNAUTHORISED_BACKOFF,
        rng: random.Random | None = None,
        clock: Clock | None = None,
        timeline: Timeline | None = None,
        nvdec: bool = False,
    ) -> None:
        super().__init__(name=f"reader-{camera}", daemon=True)
        self._camera = camera
        self._source = source
        self._slot = slot
        self._stats = stats
        self._stopping = stop
        self._lossless = source.is_file and pace == "fast"
        self._paced = source.is_file and pace == "realtime"
        self._loop = loop
        self._open_timeout = open_timeout
        self._stall_timeout = stall_timeout
        self._on_event = on_event
        self._backoff = backoff
        self._unauthorised_backoff = unauthorised_backoff
        self._rng = rng or random.Random()
        self._clock = clock or SystemClock()
        self._timeline = timeline or Timeline()
        self._origin: tuple[float, int] | None = None  # when the first frame was played, and its PTS
        self._playing_since = 0.0
        self._backlog = False
        self._before: tuple[float, int] | None = None  # when the last frame came, and its PTS
        self._watch = Watch(stop)
        self._thinning = FrameSkipping()
        self._nvdec = nvdec
        self._said_nvdec = False
        self._decoder: Literal["nvdec", "software"] | None = None
        self._event = ReaderEvent(camera, "starting")

    @property
    def decoder(self) -> Literal["nvdec", "software"] | None:
        """What decoded the last frame; None before the first."""
        return self._decoder

    @property
    def event(self) -> ReaderEvent:
        """The camera's present state, with its reason."""
        return self._event

    def run(self) -> None:
        """Read until stopped or, for a file, until its end."""
        attempts = {self._backoff: 0, self._unauthorised_backoff: 0}
        with interruptible(self._stopping) as self._watch:
            while not self._stopping.is_set():
                end = self._connect_and_play()
                if end.frames:  # else it is not this reader that said so
                    self._stats.set_up(False)
                if self._stopping.is_set():
                    break
                if end.nvdec:
                    self._nvdec = False
                    self._say_nvdec(end.detail)
                    continue
                if self._source.is_file:
                    if end.reason == "end_of_stream" and end.frames:
                        if self._loop:
                            continue
                        self._change("finished")
                    else:
                        self._change("failed", end.reason, end.detail)
                    return
                if end.frames and self._clock.monotonic() - self._playing_since >= GOOD_RUN:
                    attempts = dict.fromkeys(attempts, 0)
                self._stats.count_reconnect(end.reason)
                malloc_trimmer.give_back()
                backoff = self._unauthorised_backoff if end.reason == "unauthorised" else self._backoff
                delay = backoff.delay(attempts[backoff], self._rng)
                attempts[backoff] += 1
                self._change("retrying", end.reason, end.detail, self._clock.monotonic() + delay)
                self._clock.wait(self._stopping, delay)
        self._change("stopped", self._event.reason, self._event.detail)

    def _connect_and_play(self) -> _End:
        """Open the source and play it to the connection's end; nothing FFmpeg raises gets past here."""
        frames = 0
        opened = False
        nvdec = self._nvdec
        began = self._clock.monotonic()
        self._watch.expect(self._open_timeout)
        try:
            with open_input(
                self._source,
                open_timeout=self._open_timeout,
                stall_timeout=self._stall_timeout,
                hwaccel=gpu_video.accelerator() if nvdec else None,
            ) as container:
                opened = True
                if not container.streams.video:
                    return _End("decode", "there is no video in it", frames)
                stream = container.streams.video[0]
                if stream.codec_context is None:
                    return _End("unsupported", "its video has a codec nothing here can decode", frames)
                for frame in self._frames(container, stream):
                    if not self._deliver(frame):
                        break
                    frames += 1
                    if frames == 1:
                        self._playing_since = self._clock.monotonic()
                        self._stats.set_up(True)
                        self._change("playing")
            nothing = nvdec and not frames and self._source.is_file  # decoding failed throughout
            return _End("end_of_stream", "the source ended it", frames, nothing)
        except _UndecodableError as error:
            return _End("decode", str(error), frames, nvdec and not frames)
        except Exception as error:  # a fault in one source, whatever it is, must not end its camera
            reason, detail = reason_of(error), detail_of(error)
            if nvdec and not opened and _is_drivers(error):
                return _End("decode", detail, frames, True)
            if opened:
                reason = "stall" if reason == "timeout" else reason
            elif self._clock.monotonic() - began >= self._open_timeout:
                reason, detail = "timeout", f"no answer within {self._open_timeout:g} s"
            if reason == "stall":
                detail = f"no data for {self._stall_timeout:g} s"
            return _End(reason, detail, frames)

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """Decode packet by packet. Raises _UndecodableError when data keeps coming but no picture does."""
        context = stream.codec_context
        # Slices in two threads: frame threading would hold frames back (one for each thread more), and no
        # camera gets more than two cores' worth of the machine.
        context.thread_type = "SLICE"
        context.thread_count = 2
        rate = stream.average_rate or stream.guessed_rate
        self._timeline.begin(
            time_base=stream.time_base or context.time_base,
            live=not self._source.is_file,
            frame_seconds=float(1 / rate) if rate else 0.04,
        )
        live = not self._source.is_file
        self._backlog, self._before = live, None
        self._thinning = FrameSkipping()
        level: DecodeLevel = "all"
        intra = context.codec.intra_only
        now = picture_at = asked = self._clock.monotonic()
        broken_at: float | None = None
        good, waited = False, 0.0
        size = _SteadySize()
        self._watch.expect(self._stall_timeout if live else math.inf)
        for number, packet in enumerate(self._packets(container, stream)):
            if self._stopping.is_set():
                return
            if live:
                now = self._clock.monotonic()
                waited = now - asked
                self._thinning.saw_packet(now=now, waited=waited, key=packet.is_keyframe)
                # From key frames alone back to the others only at one of them: those refer to what was skipped.
                if self._thinning.level != level and (level != "keys" or packet.is_keyframe):
                    level = self._thinning.level
                    context.skip_frame = SKIP[level]
            try:
                frames = [] if intra and number % INTRA_EVERY[level] else packet.decode()
            except av.error.FFmpegError as error:
                if self._nvdec and not good and not isinstance(error, av.error.InvalidDataError):
                    raise _UndecodableError(detail_of(error)) from None  # the driver's; the data may be good
                self._stats.count_dropped("decode_error")
                size.saw_error()
                frames = []
                broken_at = now if broken_at is None else broken_at
            else:
                if not frames and level != "all":
                    self._stats.count_dropped("skipped")
            for frame in frames:
                picture_at, broken_at = now, None
                self._see_decoder(frame)
                if frame.is_corrupt:
                    self._stats.count_dropped("decode_error")
                    size.saw_error()
                elif live and not size.accepts((frame.width, frame.height), now):
                    self._stats.count_dropped("decode_error")
                else:
                    good = True
                    yield frame
            # Key frames alone may lie further apart than a camera may be without a picture.
            patience = self._stall_timeout + (KEY_INTERVAL_MOST if level == "keys" else 0.0)
            starved = waited >= self._stall_timeout  # then the next read ends as a stall
            if live and not starved and now - picture_at > patience:
                raise _UndecodableError(f"data came but no picture for {patience:g} s")
            if live and good and broken_at is not None and now - broken_at > BROKEN_RUN:
                raise _UndecodableError(f"nothing but errors for {BROKEN_RUN:g} s")
            if live:
                asked = self._clock.monotonic()
                self._watch.expect(self._stall_timeout)

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
        """Demux, over errors in the data that the next read may leave behind."""
        errors = 0
        while True:
            try:
                for packet in container.demux(stream):
                    errors = 0
                    yield packet
                return
            except av.error.InvalidDataError:
                errors += 1
                self._stats.count_dropped("decode_error")
                if errors >= CORRUPT_RUN:
                    raise

    def _see_decoder(self, frame: av.VideoFrame) -> None:
        """Note what decoded a frame. Raises _UndecodableError for a format that NVDEC hands to nobody."""
        self._decoder = "nvdec" if gpu_video.on_gpu(frame) else "software"
        if not self._nvdec:
            return
        if self._decoder == "software":
            self._say_nvdec(f"it does not take {frame.format.name} of this codec")
        elif (name := gpu_video.sw_format_of(frame)) not in gpu_video.SHARED:
            raise _UndecodableError(f"PyAV does not hand over {name}")

    def _say_nvdec(self, why: str) -> None:
        """Say once that the CPU decodes in place of NVDEC."""
        if not self._said_nvdec:
            self._said_nvdec = True
            log.warning(
                "%s: NVDEC does not decode here (%s); the CPU decodes", self._camera, why,
                extra={"event": "nvdec_missing", "camera": self._camera},
            )  # fmt: skip

    def _deliver(self, video: av.VideoFrame) -> bool:
        """Place one decoded frame in time and in the slot; False when stopped meanwhile."""
        pts = self._timeline.place(video.pts, now=self._clock.monotonic())
        if pts is None:
            self._stats.count_dropped("decode_error")
            return True
        self._stats.count_decoded()
        if self._paced and not self._wait_until_due(pts):
            return False
        frame = Frame(
            camera=self._camera,
            video=video,
            pts=pts,
            time_base=self._timeline.time_base,
            decoded_at=self._clock.monotonic(),
            wall_time=self._clock.time(),
        )
        if self._lossless:
            return self._slot.put_wait(frame, cancelled=self._stopping)
        # What is replaced came before this one: the last of the backlog gives way to the first that keeps pace.
        reason: DropReason = "backlog" if self._backlog else "overload"
        self._see_pace(frame)
        if not self._backlog:
            self._thinning.saw_frame(replaced=self._slot.pending)
        self._slot.put(frame, reason=reason)
        return True

    def _see_pace(self, frame: Frame) -> None:
        """End the backlog once a frame comes no faster than it was taken."""
        if self._backlog and self._before is not None:
            came, pts = self._before
            self._backlog = frame.decoded_at - came < float((frame.pts - pts) * frame.time_base) / 2
        self._before = (frame.decoded_at, frame.pts)

    def _wait_until_due(self, pts: int) -> bool:
        """Wait for a file's frame to be due, counted from the first one so that errors do not add up."""
        if self._origin is None:
            self._origin = (self._clock.monotonic(), pts)
        began, first = self._origin
        due = began + float((pts - first) * self._timeline.time_base)
        while (early := due - self._clock.monotonic()) > 0:
            if self._clock.wait(self._stopping, early):
                return False
        return True

    def _change(
        self,
        state: ReaderState,
        reason: FaultReason | None = None,
        detail: str = "",
        retry_at: float | None = None,
    ) -> None:
        """Log and tell a change of state or of its reason, once."""
        before, self._event = self._event, ReaderEvent(self._camera, state, reason, detail, retry_at)
        if (before.state, before.reason) == (state, reason):
            return
        text = f"{self._camera}: {state}"
        if reason is not None:
            text += f" ({reason}: {detail})"
        level = logging.WARNING if reason is not None and state != "stopped" else logging.INFO
        extra = {"event": f"camera_{state}", "camera": self._camera, "reason": reason}
        log.log(level, "%s %s", text, self._source, extra=extra)
        if self._on_event is not None:
            self._on_event(self._event)


class _SteadySize:
    """The size (width, height) of a connection's frames, and whether another one is to be believed."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._new: tuple[int, int] | None = None
        self._since = 0.0
        self._whole = 0

    def saw_error(self) -> None:
        """Something could not be decoded: whatever is being believed has to begin again."""
        self._whole = 0

    def accepts(self, size: tuple[int, int], now: float) -> bool:
        """Whether a whole frame of ``size`` that came ``now`` (monotonic seconds) is to be shown."""
        if self._size in (None, size):
            self._size, self._new = size, None
            return True
        if size != self._new:
            self._new, self._since, self._whole = size, now, 0
        self._whole += 1
        if self._whole <= SIZE_FRAMES and now - self._since < SIZE_SECONDS:
            return False
        self._size, self._new = size, None
        return True


def _is_drivers(error: Exception) -> bool:
    """Whether FFmpeg may mean the CUDA driver while it opens a source; EPERM is what it says of a missing one."""
    kinds = (av.error.ExternalError, av.error.UnknownError, MemoryError, NotImplementedError)
    return isinstance(error, kinds) or getattr(error, "errno", None) == errno.EPERM


class _UndecodableError(Exception):
    """Packets keep coming and none gives a picture."""
