"""What a kind of source has to offer: a module with a check, advice, and a way to open it as a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nightday.engines.errors import NightdayError

from ..core.camera_url import CameraUrl
from ..core.clock import Clock
from ..core.events import NoticeName
from ..core.faults import FaultReason
from .transport import RtpTransport

if TYPE_CHECKING:
    import av

    from ..core.counters import CameraStats
    from ..core.packet_log import PacketLog, PacketMark
    from ..media.clock_watch import ClockWatch
    from .damage import DamageWatch
    from .frame_skipping import FrameSkipping
    from .repeats import Repeats
    from .sound import SoundInput

WAYS = "use rtsp://, rtsps://, http(s)://, rtmp(s)://, the path of a file or a pipe, or device:0"
"""The way out that messages about an address give."""


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionSettings:
    """What a connection is opened with.

    Attributes:
        open_timeout: seconds until a connection that does not come about is given up.
        stall_timeout: seconds without data, or without one frame that can be decoded, until it is lost.
        nvdec: whether to decode on the GPU.
        gstreamer: whether an element of GStreamer decodes what comes by RTSP.
        stop: ends the connection once set, even while it waits for the network.
        stats: where frames that cannot be decoded, or are skipped, are counted.
        skipping: decides how much of a live stream is decoded. The connection shows it the packets, the reader shows
            it the frames.
        clock: time.
        transport: how RTP is asked for, and what was learnt of it.
        damage: counts the pictures that packets were lost of; None where none can be lost.
        every_s: seconds between two fetches of a source that answers one picture; None where it sends a video.
        ca: the certificate (PEM) that the source's is checked by; None: none is checked.
        sound: takes the sound; None where none is wanted.
        warn: tells of something that the user should know, as a notice of the camera.
        packet_log: where the packets' hashes are noted; None: they are not computed.
        repeats: tells which packets of a playlist an earlier connection has brought; None: there was none.
    """

    open_timeout: float
    stall_timeout: float
    nvdec: bool
    stop: threading.Event
    stats: CameraStats
    skipping: FrameSkipping
    clock: Clock
    transport: RtpTransport = field(default_factory=RtpTransport)
    damage: DamageWatch | None = None
    every_s: float | None = None
    ca: Path | None = None
    gstreamer: bool = False
    sound: SoundInput | None = None
    warn: Callable[[NoticeName, str], None] = lambda name, detail: None
    packet_log: PacketLog | None = None
    repeats: Repeats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded frame.

    Attributes:
        video: the frame.
        at: when the packet came with which it was complete, monotonic seconds.
        on_time: whether the frame was read and decoded as soon as it came, so that ``at`` tells of the camera's pace.
        held_back: whether the decoder gave it only because nothing came any more.
        packets: how far the source's packets had been decoded then; None where nobody logs them.
    """

    video: av.VideoFrame
    at: float
    on_time: bool
    held_back: bool = False
    packets: PacketMark | None = None


class Connection(Protocol):
    """An open source, for the thread that opened it."""

    @property
    def clock_watch(self) -> ClockWatch | None:
        """Judges the clock of a live source: the connection goes by it, and is shown the frames' PTS.

        None for a clip, which has an end and does not set the pace.
        """
        ...

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick of the frames' PTS."""
        ...

    @property
    def frame_seconds(self) -> float:
        """Seconds a frame lasts."""
        ...

    def frames(self) -> Iterator[Decoded]:
        """Decoded frames, until the source ends or ``stop`` is set. Raises SourceLostError."""
        ...


class SourceModule(Protocol):
    """The module of one kind of source. It imports no decoder before it opens a source.

    Attributes:
        ADVICE: what a user can do, by the reason for which a source of this kind is away.
    """

    ADVICE: Mapping[FaultReason, str]

    def fault(self, url: CameraUrl) -> str | None:
        """What is wrong with an address of this kind, to be read after the address; None if nothing is."""
        ...

    def open_source(self, url: CameraUrl, settings: ConnectionSettings) -> AbstractContextManager[Connection]:
        """A context manager that opens the source and closes it. Raises SourceLostError."""
        ...


class SourceLostError(NightdayError):
    """A source cannot be opened, or has been lost. The message holds no address.

    Attributes:
        reason: why, for people and programs.
        detail: the message.
        nvdec: whether decoding on the CPU is worth a try, because NVDEC or GStreamer failed.
        cause: FFmpeg's or the operating system's exception, whose text may hold the address; None without one.
    """

    def __init__(
        self, reason: FaultReason, detail: str, *, nvdec: bool = False, cause: Exception | None = None
    ) -> None:
        super().__init__(detail)
        self.reason: FaultReason = reason
        self.detail = detail
        self.nvdec = nvdec
        self.cause = cause
