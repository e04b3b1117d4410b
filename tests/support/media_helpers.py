"""What the tests of media in and out share: a clock moved by hand, a slot that keeps everything, pictures."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from nightday.pipeline.core.counters import CameraStats, DropReason
from nightday.pipeline.core.event_log import to_log
from nightday.pipeline.core.events import Event, OutputChanged
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.sources.latest_slot import LatestSlot
from tests.support.rtsp_server import WAIT


class FakeClock:
    """Time that passes only by waiting (and by ``tick`` with each look at it), kept in ``waits``."""

    def __init__(self, *, tick: float = 0.0, most_waits: int = 10**9) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self._tick = tick
        self._most_waits = most_waits

    def monotonic(self) -> float:
        self.now += self._tick
        return self.now

    def time(self) -> float:
        return 1_700_000_000.0 + self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        if len(self.waits) >= self._most_waits:
            event.set()
        return event.is_set()


class KeepingSlot(LatestSlot):
    """Takes every frame at once and keeps it."""

    def __init__(self, stats: CameraStats) -> None:
        super().__init__(ready=threading.Condition(), stats=stats)
        self.frames: list[Frame] = []
        self.reasons: list[DropReason] = []

    def put(self, frame: Frame, *, reason: DropReason = "overload") -> None:
        with self._ready:
            self.frames.append(frame)
            self.reasons.append(reason)
            self._ready.notify_all()

    def put_wait(self, frame: Frame, *, cancelled: threading.Event) -> bool:
        self.put(frame)
        return True

    def wait_for(self, count: int) -> list[Frame]:
        with self._ready:
            came = self._ready.wait_for(lambda: len(self.frames) >= count, WAIT)
        assert came, f"{len(self.frames)} of {count} frames came"
        return list(self.frames)

    def wait_quiet(self, seconds: float = 0.3) -> None:
        """Wait until no frame has come for ``seconds``: what was under way is through."""
        with self._ready:
            count = -1
            while count < len(self.frames):
                count = len(self.frames)
                self._ready.wait_for(lambda: len(self.frames) > count, seconds)  # noqa: B023 - called at once


class Events(list[Any]):
    """Collects events and waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, event: object) -> None:
        with self._changed:
            self.append(event)
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[Any], bool]) -> Any:
        with self._changed:
            came = self._changed.wait_for(lambda: any(wanted(event) for event in self), WAIT)
        assert came, f"not among {list(self)}"
        return next(event for event in self if wanted(event))


class OutputEvents(Events):
    """Logs every event, as the program does, and collects the changes of an output's state."""

    def __call__(self, event: object) -> None:
        assert isinstance(event, Event)
        to_log(event)
        if isinstance(event, OutputChanged):
            super().__call__(event)


class WatchedStats(CameraStats):
    """Counters whose drops can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def count_dropped(self, reason: Any) -> None:
        with self._changed:
            super().count_dropped(reason)
            self._changed.notify_all()

    def wait_all_dropped(self, count: int) -> None:
        """Wait until ``count`` were dropped, for whatever reasons."""
        with self._changed:
            came = self._changed.wait_for(lambda: sum(self.snapshot().dropped.values()) >= count, WAIT)
        assert came, self.snapshot().dropped

    def wait_dropped(self, reason: str, count: int) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: self.snapshot().dropped.get(reason, 0) >= count, WAIT)
        assert came, self.snapshot().dropped


def picture(
    pts: int,
    *,
    time_base: Fraction = Fraction(1, 12800),
    size: tuple[int, int] = (64, 48),
    wall_time: float = 1_700_000_000.0,
    rgb: np.ndarray | None = None,
) -> Picture:
    """A picture of ``size`` (width, height) whose grey level tells its PTS, or ``rgb`` itself."""
    if rgb is None:
        rgb = np.full((size[1], size[0], 3), pts // 512 % 200 + 20, np.uint8)
    video = av.VideoFrame(16, 16, "yuv420p")
    return Picture(Frame("gate", video, pts, time_base, 0.0, wall_time), rgb, True)


def ffprobe(path: Path, *entries: str) -> dict[str, Any]:
    """What Debian's ffprobe says of a file."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", ":".join(entries), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def probed(path: Path) -> dict[str, Any]:
    """What ``ffprobe`` says of a file's packets, time and tags; it is asked again only if the file has changed."""
    found = path.stat()
    return _probed(path.absolute(), found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=64)
def _probed(path: Path, *_: int) -> dict[str, Any]:
    return ffprobe(
        path, "packet=pts,pts_time", "stream=time_base", "format=start_time,duration", "format_tags"
    )


def packet_pts(path: Path) -> list[int]:
    """PTS of a file's packets in its own ticks, by ffprobe."""
    return [int(packet["pts"]) for packet in probed(path)["packets"]]


def camera_pts(path: Path) -> list[int]:
    """PTS of a recording's packets on the camera's timeline, in its ticks: by ffprobe and the file's tags."""
    told = probed(path)
    first, base = camera_start(told["format"]["tags"]["description"])
    ticks = Fraction(told["streams"][0]["time_base"]) / base
    pts = [first + int(packet["pts"]) * ticks for packet in told["packets"]]
    assert all(each.denominator == 1 for each in pts), f"{path}: not whole ticks of the camera"
    return [int(each) for each in pts]


def camera_start(description: str) -> tuple[int, Fraction]:
    """What a recording's description says: the first picture's PTS on the camera's timeline, and seconds a tick."""
    start = json.loads(description)
    return start["camera_pts"], Fraction(start["camera_time_base"])


def ffmpeg_complaints(path: Path) -> str:
    """What ffmpeg has to say against a file when it decodes all of it."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stderr + ("" if done.returncode == 0 else f"exit status {done.returncode}")


def clip_pts(path: Path) -> list[int]:
    """PTS of every frame of a clip, by PyAV."""
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0) if frame.pts is not None]


@contextmanager
def stopping(thread: Any, stop: threading.Event) -> Iterator[Any]:
    """Start a thread and stop it at the end, which it must do well before FFmpeg's waits of 10 s and more end."""
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(5.0)
        assert not thread.is_alive(), "it did not stop within 5 s"
