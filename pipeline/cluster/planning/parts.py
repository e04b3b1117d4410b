"""The program's own parts, fed with footage by hand: decoding, a worker's stages, encoding and writing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, pairwise
from pathlib import Path
from typing import Literal

import av

from nightday.engines.backends.base import Engine

from ...config.schema import CameraConfig
from ...core.backgrounds import Backgrounds
from ...core.camera_url import CameraUrl
from ...core.clock import SystemClock
from ...core.counters import BATCH_BOUNDS, CameraStats, Histogram
from ...core.events import Event
from ...core.fault_log import FaultLog
from ...core.frame import Picture
from ...media.timeline import Timeline
from ...outputs import udp
from ...outputs.encoding.shared_encoder import EncoderClient, SharedEncoder
from ...outputs.module import WINDOW, OutputSettings
from ...outputs.mp4.writer import SegmentWriter
from ...outputs.output import Output
from ...sources.base import ConnectionSettings, Decoded
from ...sources.delivery import FrameDelivery
from ...sources.frame_skipping import FrameSkipping
from ...sources.latest_slot import LatestSlot
from ...sources.registry import open_source
from ...translation.batch_times import BatchTimes
from ...translation.batcher import Batcher
from ...translation.camera_pictures import CameraPictures
from ...translation.channel import Channel
from ...translation.warm_up import WarmUp
from ...translation.worker import Shared, Worker
from .demands import Scene
from .footage import Footage
from .profile import PlanError

# A long time, for what needs a limit; and the longest that a picture may take.
NEVER, PATIENCE = 3600.0, 60.0
# Frames on which nothing moves, shown again and again.
STILL = 4


def silent(event: Event) -> None:
    """What happens to these cameras concerns nobody."""


class Decoding:
    """Reads and decodes footage again and again, and puts each frame into a slot, as a camera's reader does.

    Args:
        footage: what is decoded.
        slot: where frames go.
        nvdec: whether a GPU decodes.
    """

    def __init__(self, footage: Footage, slot: LatestSlot, *, nvdec: bool) -> None:
        self._url = CameraUrl(str(footage.path))
        stop, stats = threading.Event(), CameraStats()
        self._skipping = FrameSkipping()
        self._settings = ConnectionSettings(
            open_timeout=NEVER,
            stall_timeout=NEVER,
            nvdec=nvdec,
            stop=stop,
            stats=stats,
            skipping=self._skipping,
            clock=SystemClock(),
        )
        self._delivery = FrameDelivery(
            camera="plan",
            slot=slot,
            stats=stats,
            stop=stop,
            lossless=True,
            timeline=Timeline(),
            clock=SystemClock(),
        )
        self._frames = self._all_frames()

    def _all_frames(self) -> Generator[Decoded, None, None]:
        while True:
            with open_source(self._url, self._settings) as connection:
                self._delivery.begin(connection, self._skipping)
                yield from connection.frames()

    def __call__(self) -> float:
        """Put the next frame into the slot; the seconds of processor time that it took this thread."""
        began = time.thread_time()
        self._delivery.deliver(next(self._frames))
        return time.thread_time() - began

    def close(self) -> None:
        """Close what is open, in the thread that opened it."""
        self._frames.close()


class _Pictures(CameraPictures):
    """Of a camera whose scene is learnt."""

    def __init__(self, known: Backgrounds) -> None:
        super().__init__(faults=FaultLog("plan", silent))
        # Each camera has its own, and what an engine makes of them.
        by_day, by_night = known.day, known.night
        assert by_day is not None
        assert by_night is not None
        self._known = Backgrounds(by_day.copy(), by_night.copy())
        for picture in (self._known.day, self._known.night):
            assert picture is not None
            picture.setflags(write=False)

    @property
    def backgrounds(self) -> Backgrounds:
        return self._known


class Writing:
    """Encodes pictures, records them to a file, and sends them to a socket that nobody reads: an output's writer.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        shared = SharedEncoder(publish=silent)
        self._encoder = EncoderClient(shared)
        self._file = SegmentWriter(
            template=str(folder / "%Y%m%d-%H%M%S.mp4"), encoder=shared, camera="plan", publish=silent
        )
        self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind(("127.0.0.1", 0))
        settings = OutputSettings(
            camera="plan",
            segment_seconds=60.0,
            window=WINDOW,
            generated=True,
            retention=None,
            signing_key=None,
            content_credentials=False,
            encoder=shared,
            publish=silent,
            clock=SystemClock(),
        )
        url = CameraUrl(f"udp://127.0.0.1:{self._receiver.getsockname()[1]}")
        self._sender = udp.make_writer(url, settings)
        self.took = (0.0, 0.0, 0.0)
        """Seconds of processor time that encoding, recording and sending the last picture took."""
        self.written = threading.Event()
        """Set when a picture is written."""

    def write(self, picture: Picture) -> None:
        """Write one picture."""
        times = [time.thread_time()]
        for step in (self._encoder.encode, self._file.write, self._sender.write):
            step(picture)
            times.append(time.thread_time())
        encode, record, send = (after - before for before, after in pairwise(times))
        self.took = encode, record, send
        self.written.set()

    def idle(self, seconds: float) -> None:
        """Nothing is to be done then."""

    def close(self) -> None:
        """End the file."""
        self._file.close()
        self._sender.close()
        self._receiver.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """What one frame took, in seconds of processor time."""

    decode: float
    work: float
    encode: float
    record: float
    send: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.decode + self.work + self.encode + self.record + self.send


class Chain:
    """A camera whose frames go from its reader's thread through a worker's stages to its output's, one by one.

    What it does by the time and not by the frame is left out; see ``by_second``. Close it at the end.

    Args:
        footage: what it sees.
        folder: where its output writes.
        engine: its engine.
        scene: whether its frames are translated, and whether nothing moves on them.
        nvdec: whether a GPU decodes.
    """

    def __init__(
        self, footage: Footage, folder: Path, engine: Engine, *, scene: Scene, nvdec: bool = False
    ) -> None:
        self._still = cycle(footage.quiet(STILL)) if scene == "quiet" else None
        self._working = Working(footage, engine, translated=scene != "day")
        (channel,) = self._working.channels
        self.stats = channel.stats
        """The camera's counters."""
        self._writing = Writing(folder)
        self._output = Output(self._writing, camera="plan0", output="plan", stats=self.stats, publish=silent)
        self._output.start()
        channel.outputs = [self._output]
        self._wanted, self._closing = threading.Event(), threading.Event()
        self._decode = 0.0
        self._reader = threading.Thread(
            target=self._read, args=(Decoding(footage, channel.slot, nvdec=nvdec),), daemon=True
        )
        self._reader.start()

    def _read(self, decoding: Decoding) -> None:
        while self._wanted.wait(NEVER) and not self._closing.is_set():
            self._wanted.clear()
            self._decode = decoding()
        decoding.close()

    def __call__(self) -> Parts:
        """Take the next frame all the way."""
        self._writing.written.clear()
        began = time.process_time()
        self._wanted.set()
        self._working.next(self._still)
        if not self._writing.written.wait(PATIENCE):
            raise PlanError(
                "a picture was not written: the folder for temporary files may be full; set TMPDIR"
            )
        total = time.process_time() - began
        decode, (encode, record, send) = self._decode, self._writing.took
        return Parts(decode, max(0.0, total - decode - encode - record - send), encode, record, send)

    def close(self) -> None:
        """End its threads."""
        self._closing.set()
        self._wanted.set()
        self._reader.join(PATIENCE)
        self._output.close(PATIENCE)


class Working:
    """A worker with cameras of its own, whose frames it takes from their slots and through all stages.

    Args:
        footage: what the cameras see.
        engine: translates their frames.
        translated: whether they are translated.
        cameras: how many there are; each batch has a frame of each.
    """

    def __init__(self, footage: Footage, engine: Engine, *, translated: bool, cameras: int = 1) -> None:
        ready = threading.Condition()
        self.channels = [
            _channel(f"plan{number}", footage, engine, translated=translated, ready=ready)
            for number in range(cameras)
        ]
        self._batcher = Batcher(
            ready=ready, max_batch=cameras, kind=lambda channel, frame: 0, clock=SystemClock()
        )
        for channel in self.channels:
            self._batcher.add(channel)
        self._closed = threading.Event()
        self._worker = Worker(
            Shared(
                channels={channel.name: channel for channel in self.channels},
                ready=ready,
                batcher=self._batcher,
                stop=threading.Event(),
                batches=Histogram(BATCH_BOUNDS),
                times=BatchTimes(),
                warm_up=WarmUp(silent),
                clock=SystemClock(),
            )
        )

    def next(self, instead: Iterator[av.VideoFrame] | None = None) -> None:
        """Wait for a batch and take it through the stages; with other frames ``instead``, if there are any."""
        until = time.monotonic() + PATIENCE
        while not (batches := self._batcher.next(self._closed)):
            if time.monotonic() > until:
                raise PlanError("a bundled clip was not decoded; install the program again")
        for batch in batches:
            if instead is not None:
                batch = [(channel, replace(frame, video=next(instead))) for channel, frame in batch]
            self._worker.process(batch)
        self._batcher.done(batches)


def _channel(
    name: str, footage: Footage, engine: Engine, *, translated: bool, ready: threading.Condition
) -> Channel:
    translate: Literal["always", "never"] = "always" if translated else "never"
    stats = CameraStats()
    return Channel(
        config=CameraConfig(name=name, url=CameraUrl(str(footage.path)), translate=translate, learn=False),
        stats=stats,
        slot=LatestSlot(ready=ready, stats=stats),
        engine=engine,
        own_backgrounds=engine.needs_backgrounds,
        pictures=_Pictures(footage.backgrounds),
        publish=silent,
    )
