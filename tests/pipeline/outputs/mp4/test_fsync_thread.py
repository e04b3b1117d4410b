"""Recordings reach the disk itself, and nobody waits for it."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nightday.pipeline.outputs.mp4.fsync_thread import FLUSH_SECONDS
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from tests.support.media_helpers import packet_pts, picture
from tests.support.rtsp_server import WAIT

FRAME = 512  # ticks of a frame at 25 fps
RATE = 25


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk that tells what was flushed to it; nothing of it is held up any more at the end."""
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    yield disk
    disk.free.set()
    wait_until(lambda: not any(thread.name == "flush" for thread in threading.enumerate()))


class Disk:
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.folders = 0
        self.threads: set[str] = set()
        self.free, self.asked = threading.Event(), threading.Event()
        self.free.set()
        self.error: OSError | None = None

    def fsync(self, handle: int) -> None:
        self.asked.set()
        assert self.free.wait(WAIT)
        self.threads.add(threading.current_thread().name)
        state = os.fstat(handle)
        if self.error is not None:
            raise self.error
        if stat.S_ISDIR(state.st_mode):
            self.folders += 1
        else:
            self.sizes.append(state.st_size)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def write(writer: SegmentWriter, numbers: range) -> None:
    for number in numbers:
        made = picture(number * FRAME)
        writer.write(replace(made, frame=replace(made.frame, decoded_at=100 + number / RATE)))


def test_a_file_is_flushed_now_and_then_and_when_it_is_complete(disk: Disk, tmp_path: Path) -> None:
    writer = SegmentWriter(template=str(tmp_path / "x.mp4"))
    seconds = 0
    for flushes in (1, 2):
        until = seconds + round(FLUSH_SECONDS) + 1
        write(writer, range(seconds * RATE, until * RATE))
        seconds = until
        wait_until(lambda: disk.folders == flushes)  # noqa: B023 - called at once
    assert len(disk.sizes) == 2
    assert 0 < disk.sizes[0] < disk.sizes[1] <= (tmp_path / "x.mp4").stat().st_size
    writer.close()
    wait_until(lambda: disk.folders == 3)
    assert disk.sizes[2] == (tmp_path / "x.mp4").stat().st_size
    assert disk.threads == {"flush"}


@pytest.mark.alone  # it counts the process's files and threads
def test_a_disk_that_takes_long_holds_up_no_picture_and_gathers_nothing(disk: Disk, tmp_path: Path) -> None:
    disk.free.clear()
    before = len(os.listdir("/proc/self/fd"))
    writer = SegmentWriter(template=str(tmp_path / "x.mp4"), segment_seconds=4)
    write(writer, range(60 * RATE))
    writer.close()
    assert disk.asked.wait(WAIT)
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # the one that is held up, and the next
    assert sum(thread.name == "flush" for thread in threading.enumerate()) == 1
    assert sum(len(packet_pts(path)) for path in tmp_path.iterdir()) == 60 * RATE
    disk.free.set()
    wait_until(lambda: disk.folders == 2)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)


@pytest.mark.parametrize(("number", "raised"), [(errno.EIO, True), (errno.EINVAL, False)])
def test_what_the_disk_could_not_take_is_said(disk: Disk, tmp_path: Path, number: int, raised: bool) -> None:
    """But not that a file system cannot be asked at all."""
    disk.error = OSError(number, os.strerror(number))
    writer = SegmentWriter(template=str(tmp_path / "x.mp4"))
    write(writer, range(6 * RATE))
    wait_until(lambda: not any(thread.name == "flush" for thread in threading.enumerate()))
    disk.error = None
    if raised:
        with pytest.raises(OSError, match="Input/output error"):
            write(writer, range(6 * RATE, 12 * RATE))
    else:
        write(writer, range(6 * RATE, 12 * RATE))
    writer.close()
    assert packet_pts(tmp_path / "x.mp4")[0] == 0
