"""What a kind of source has to offer: a module with a check, advice, and a way to open it as a connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from nightday.engines.errors import NightdayError

from ..core.camera_url import CameraUrl
from ..core.clock import Clock
from ..core.faults import FaultReason

if TYPE_CHECKING:
    import av

    from ..core.counters import CameraStats
    from ..media.clock_watch import ClockWatch
    from .frame_skipping import FrameSkipping

WAYS = "use rtsp://, rtsps://, http(s)://, srt://, rtmp(s)://, the path of a file, or device:0"
"""The way out that messages about an address give."""


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionSettings:
    """What a connection is opened with.

    Attributes:
        open_timeout: seconds until a connection that does not come about is given up.
        stall_timeout: seconds without data, or without one frame that can be decoded, until it is lost.
        nvdec: whether to decode on the GPU.
        stop: ends the connection once set, even while it waits for the network.
        stats: where frames that cannot be decoded, or are skipped, are counted.
        skipping: decides how much of a live stream is decoded. The connection shows it the packets, the reader shows
            it the frames.
        clock: time.
    """

    open_timeout: float
    stall_timeout: float
    nvdec: bool
    stop: threading.Event
    stats: CameraStats
    skipping: FrameSkipping
    clock: Clock


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded frame.

    Attributes:
        video: the frame.
        at: when the packet came with which it was complete, monotonic seconds.
        on_time: whether the frame was read and decoded as soon as it came, so that ``at`` tells of the camera's pace.
    """

    video: av.VideoFrame
    at: float
    on_time: bool


class Connection(Protocol):
    """An open source, for the thread that opened it."""

    @property
    def clock_watch(self) -> ClockWatch | None:
        """Judges the clock of a live source. The connection goes by it, the reader shows it the frames' PTS."""
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
        nvdec: whether decoding on the CPU is worth a try, because decoding on the GPU failed.
    """

    def __init__(self, reason: FaultReason, detail: str, *, nvdec: bool = False) -> None:
        super().__init__(detail)
        self.reason: FaultReason = reason
        self.detail = detail
        self.nvdec = nvdec
