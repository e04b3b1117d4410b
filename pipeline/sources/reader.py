"""One camera's input: a thread that opens its source, reads it, and opens it again when it is lost."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av

from nightday.engines.video import colour

from ..core.backoff import Backoff
from ..core.camera_url import CameraUrl
from ..core.clock import Clock, SystemClock
from ..core.counters import CameraStats
from ..core.event_log import to_log
from ..core.events import Notice, Publish, SourceChanged, SourceState
from ..core.fault_log import FaultLog
from ..core.faults import FaultReason, SourceReason, detail_of
from ..core.packet_log import PacketLog
from ..core.sound import SoundTrack
from ..media import gpu_video
from ..media.clock_watch import ClockWatch
from ..media.malloc_trim import malloc_trimmer
from ..media.timeline import Timeline
from .base import ConnectionSettings, SourceLostError
from .decoders import DecoderName, nvdec_missing
from .delivery import FrameDelivery
from .frame_skipping import FrameSkipping
from .latest_slot import LatestSlot
from .registry import kind_of, open_source
from .repeats import Repeats
from .sound import SoundInput
from .transport import RtpTransport, TransportChoice

# Seconds of pictures after which a loss is a new fault, and the back-off starts from its beginning.
GOOD_RUN = 30.0
# A camera that refuses the login gets few tries: many lock an account after a handful in a row.
UNAUTHORISED_BACKOFF = Backoff(first=60.0, cap=600.0, floor=20.0)


@dataclass(frozen=True, slots=True)
class _End:
    """Why a connection ended, and how many frames came.

    Attributes:
        without_nvdec: whether it should be tried again without NVDEC.
        clip_ended: whether it was a clip, which has come to its end.
    """

    reason: FaultReason
    detail: str
    frames: int
    without_nvdec: bool = False
    clip_ended: bool = False


class _Decoding:
    """What decodes one camera's pictures: what was asked for until that fails, from then on the CPU.

    Args:
        camera: its name.
        faults: told once that the CPU decodes in place of what was asked for.
        nvdec, gstreamer: see ``Reader``.
    """

    def __init__(self, camera: str, faults: FaultLog, *, nvdec: bool, gstreamer: bool) -> None:
        self._camera = camera
        self._faults = faults
        self.nvdec = nvdec
        self.gstreamer = gstreamer
        self.name: DecoderName | None = None
        """What decoded the last frame; None before the first."""

    def see(self, video: av.VideoFrame) -> None:
        """Note what decoded a frame."""
        self.name = "nvdec" if gpu_video.on_gpu(video) else "software"
        if self.gstreamer:
            self.name = "gstreamer"
        if self.nvdec and self.name == "software":
            self._say(f"it does not take {video.format.name} of this codec")

    def give_up(self, why: str) -> None:
        """Decode on the CPU from now on."""
        self.nvdec = self.gstreamer = False
        self._say(why)

    def _say(self, why: str) -> None:
        self._faults.begin("nvdec", "nvdec_missing", nvdec_missing(self._camera, why).detail)


class SourceDoubts:
    """What of a source is not believed, or not read, each said once.

    Args:
        source: its address.
        faults: told when a doubt begins.
        heard: whether its sound is wanted.
    """

    def __init__(self, source: CameraUrl, faults: FaultLog, *, heard: bool) -> None:
        self._source = source
        self._faults = faults
        self._heard = heard
        self.clock: str | None = None
        """Why pictures are placed by their arrival rather than by the camera's clock; None while by its clock."""
        self.colours: str | None = None
        """What its colours say that is not read here; None if all is."""

    def see_clock(self, watch: ClockWatch | None) -> None:
        """Note whether a live camera's clock is believed."""
        fault = None if watch is None else watch.reason
        if fault is not None:
            sound = ", and its sound is left out" if self._heard else ""
            detail = (
                f"{fault}; its pictures are placed by the time at which they arrive{sound} ({self._source})"
            )
            self._faults.begin("clock", "clock_not_believed", detail)
        self.clock = fault

    def see_colours(self, video: av.VideoFrame) -> None:
        """Note what cannot be made of a camera's colours."""
        fault = colour.unread(video)
        if fault is not None:
            self._faults.begin("colours", "colours_not_read", f"{fault} ({self._source})")
        elif self.colours is not None:
            self._faults.end("colours")
        self.colours = fault


class Reader(threading.Thread):
    """Reads one camera for as long as it lives, and puts its frames into its slot.

    A network source, device or pipe that is down or lost is tried again for ever, with back-off. A file is not: it
    ends ``finished``, or ``failed`` where it cannot be read. A clip on the network ends ``finished``, too. The thread
    ends within about 0.2 s of ``stop``, even while FFmpeg waits for the network. Only a name look-up that hangs is
    waited for; the thread is a daemon.

    While most of what a live source sends is thrown away, less of it is decoded (``frame_skipping``). With ``nvdec``
    frames are decoded on the GPU and stay there. If it cannot decode a source, or fails before the first picture, the
    CPU decodes from then on; that is published once.

    Args:
        camera: its name, for frames, events and the log.
        source: its address, which is shown masked only.
        slot: where the frames go.
        stats: its counters.
        stop: set to end the thread.
        pace: for a file, ``realtime`` plays it at its own pace and drops what nobody takes in time; ``fast`` goes as
            fast as frames are taken and loses none. Other sources set their own pace.
        loop: play a file again and again.
        open_timeout: seconds until a connection that does not come about is given up.
        stall_timeout: seconds without data, or without one frame that can be decoded, until it is lost.
        publish: called in this thread at each change of state; must not block.
        backoff: waiting times between tries.
        unauthorised_backoff: those after a refused login; each counts its own tries.
        rng: draws their jitter.
        clock: time.
        timeline: gives the frames their PTS; that of a reader that died, if this one takes its place.
        nvdec: whether to decode on the GPU.
        transport: how RTP is asked for.
        every_s: seconds between two fetches of a source that answers one picture; None where it sends a video.
        ca: the certificate (PEM) that the source's is checked by; None: none is checked.
        gstreamer: whether an element of GStreamer decodes. If it cannot, FFmpeg does from then on, as with ``nvdec``.
        packet_log: where the packets' hashes are noted; None: they are not computed.
        sound: where its sound goes; None where none is wanted.
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
        publish: Publish = to_log,
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
        unauthorised_backoff: Backoff = UNAUTHORISED_BACKOFF,
        rng: random.Random | None = None,
        clock: Clock | None = None,
        timeline: Timeline | None = None,
        nvdec: bool = False,
        transport: TransportChoice = "auto",
        every_s: float | None = None,
        ca: Path | None = None,
        gstreamer: bool = False,
        packet_log: PacketLog | None = None,
        sound: SoundTrack | None = None,
    ) -> None:
        super().__init__(name=f"reader-{camera}", daemon=True)
        self._camera = camera
        self._source = source
        self._stats = stats
        self._stopping = stop
        self._loop = loop
        self._open_timeout = open_timeout
        self._stall_timeout = stall_timeout
        self._publish = publish
        self._backoff = backoff
        self._unauthorised_backoff = unauthorised_backoff
        self._rng = rng or random.Random()
        self._clock = clock or SystemClock()
        self._kind = kind_of(source)
        self._transport = RtpTransport(transport)
        self._repeats = Repeats()
        self._every_s = every_s
        self._ca = ca
        self._delivery = FrameDelivery(
            camera=camera,
            slot=slot,
            stats=stats,
            stop=stop,
            lossless=self._kind == "file" and pace == "fast",
            timeline=timeline or Timeline(),
            clock=self._clock,
        )
        self._playing_since = 0.0
        self._packet_log = packet_log
        self._sound = sound
        self._faults = FaultLog(camera, publish)
        self._decoding = _Decoding(camera, self._faults, nvdec=nvdec, gstreamer=gstreamer)
        self.doubts = SourceDoubts(source, self._faults, heard=sound is not None)
        """What of its source is not believed, or not read."""
        self._event = SourceChanged(camera=camera, state="starting", source=str(source))

    @property
    def decoder(self) -> DecoderName | None:
        """What decoded the last frame; None before the first."""
        return self._decoding.name

    @property
    def event(self) -> SourceChanged:
        """The source's present state. Each try sets its ``retry_at`` anew; only changes of state are published."""
        return self._event

    def refuse(self, detail: str) -> None:
        """Say that the source failed, of a reader that is never started."""
        self._change("failed", "failed", detail)

    def run(self) -> None:
        """Read until stopped or, for a file, until its end."""
        attempts = {self._backoff: 0, self._unauthorised_backoff: 0}
        while not self._stopping.is_set():
            end = self._connect_and_play()
            if end.frames:  # else another reader with the same counters may have said that it is up
                self._stats.set_up(False)
            if self._stopping.is_set():
                break
            if end.without_nvdec:
                self._decoding.give_up(end.detail)
                continue
            if self._kind == "file" or end.clip_ended:
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
        """Open the source and play it to the connection's end. Nothing that goes wrong with it is raised."""
        frames = 0
        skipping = FrameSkipping()
        sound = None if self._sound is None else SoundInput(self._sound)
        settings = ConnectionSettings(
            open_timeout=self._open_timeout,
            stall_timeout=self._stall_timeout,
            nvdec=self._decoding.nvdec,
            stop=self._stopping,
            stats=self._stats,
            skipping=skipping,
            clock=self._clock,
            transport=self._transport,
            every_s=self._every_s,
            ca=self._ca,
            gstreamer=self._decoding.gstreamer,
            packet_log=self._packet_log,
            sound=sound,
            repeats=self._repeats,
            warn=lambda name, detail: self._publish(
                Notice(camera=self._camera, name=name, detail=detail, level="warning")
            ),
        )
        try:
            with open_source(self._source, settings) as connection:
                self._delivery.begin(connection, skipping, sound)
                for decoded in connection.frames():
                    self._decoding.see(decoded.video)
                    if not self._delivery.deliver(decoded):
                        break
                    self.doubts.see_clock(connection.clock_watch)
                    self.doubts.see_colours(decoded.video)
                    frames += 1
                    if frames == 1:
                        self._playing_since = self._clock.monotonic()
                        self._stats.set_up(True)
                        self._change("playing")
        except SourceLostError as lost:
            return _End(lost.reason, lost.detail, frames, lost.nvdec)
        except Exception as error:  # a fault in one source, whatever it is, must not end its camera
            return _End("failed", detail_of(error), frames)
        # Somebody else may write into a pipe.
        clip = connection.clock_watch is None and self._kind != "pipe"
        without_nvdec = self._decoding.nvdec and clip and not frames
        return _End("end_of_stream", "the source ended it", frames, without_nvdec, clip)

    def _change(
        self,
        state: SourceState,
        reason: SourceReason | None = None,
        detail: str = "",
        retry_at: float | None = None,
    ) -> None:
        """Set the state, and publish it if it or its reason is another one."""
        before = self._event
        self._event = replace(before, state=state, reason=reason, detail=detail, retry_at=retry_at)
        if (before.state, before.reason) != (state, reason):
            self._publish(self._event)
