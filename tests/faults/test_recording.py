"""Recording through what ends or starves it: SIGKILL at any moment, a full disk, a folder that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs.mp4.limits import Limits
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from nightday.pipeline.outputs.output import Output
from nightday.pipeline.outputs.registry import open_output
from tests.faults.feeding import RATE, Camera, states
from tests.support.media_helpers import (
    FakeClock,
    OutputEvents,
    WatchedStats,
    camera_pts,
    camera_start,
    ffmpeg_complaints,
    ffprobe,
    picture,
)
from tests.support.rtsp_server import CLIP, WAIT

FRAME = 512  # ticks of a frame at 25 fps
MAY_LOSE = 2.0  # seconds of the open file
RESUMES_WITHIN = 10.0  # seconds after there is room again


# SIGKILL ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kill:
    """One run of the command and its end.

    Attributes:
        after: seconds from the first file to the kill.
        lost: seconds between the last picture that plays and the kill.
        files: what the run wrote, in order.
        complaints: what ffmpeg has to say against the last of them.
    """

    after: float
    lost: float
    files: tuple[Path, ...]
    complaints: str


def kill_under_way(folder: Path, *, after: float, segment_seconds: float = 2.0) -> Kill:
    """Run the command on a looping clip, kill it ``after`` seconds of recording, and look at what it wrote.

    Every run takes the same file name, so that a restart finds it taken. Raises AssertionError where a closed
    file does not play to its end, or a file of another run changed.
    """
    config = folder / "cameras.yaml"
    config.write_text(
        f"cameras: [{{name: gate, url: {CLIP}, loop: true, translate: never, outputs: [out/gate.mp4],"
        f" segment_seconds: {segment_seconds}}}]"
    )
    before = {path: _digest(path) for path in (folder / "out").glob("*")}
    command = [sys.executable, "-c", "import sys; from nightday.pipeline.cli import main; sys.exit(main())"]
    process = subprocess.Popen(
        [*command, "--cameras", str(config)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        began = _appears(folder / "out", set(before), process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after)
        process.kill()
        killed = time.monotonic()
    finally:
        process.kill()
        assert process.stderr is not None
        process.stderr.close()
        process.wait()
    now = set((folder / "out").glob("*"))
    assert {path: _digest(path) for path in before} == before, "a restart changed what was there"
    first_seen = {path: _times(path) for path in now - set(before)}
    files = tuple(
        sorted((path for path in first_seen if first_seen[path]), key=lambda path: first_seen[path])
    )
    played = [moment for path in files for moment in first_seen[path]]
    assert all(later > earlier for earlier, later in pairwise(played))
    for path in files[:-1]:
        assert ffmpeg_complaints(path) == "", path
    lost = killed - began - (played[-1] - played[0]) if played else killed - began
    return Kill(after, lost, files, ffmpeg_complaints(files[-1]) if files else "")


def _appears(folder: Path, before: set[Path], process: subprocess.Popen[bytes]) -> float:
    """The moment the first new file is there, which is that of the first picture."""
    deadline = time.monotonic() + 60
    while not set(folder.glob("*")) - before:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.005)
    return time.monotonic()


def _times(path: Path) -> list[float]:
    """Camera's time of each picture that decodes, in seconds; none of a file cut before its first fragment."""
    try:
        with av.open(str(path)) as container:
            pts, time_base = camera_start(container.metadata["description"])
            start = float(pts * time_base)
            return [start + frame.time for frame in container.decode(video=0) if frame.time is not None]
    except av.error.InvalidDataError:
        return []


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_sigkill_at_any_moment_costs_at_most_two_seconds_and_restarts_go_on_beside(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kills = [
        kill_under_way(tmp_path, after=after) for after in (rng.uniform(4.0, 6.0), rng.uniform(0.1, 7.0))
    ]
    for kill in kills:
        assert kill.lost <= MAY_LOSE, kill
        assert kill.complaints == "", kill  # fragments are written whole: not even the end is torn
    assert len(kills[0].files) >= 2
    names = [path.name for kill in kills for path in kill.files]
    assert len(names) == len(set(names))


# Full and faulty disks ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Disk:
    """A folder on a small disk: fill it up, and make room again."""

    folder: Path
    fill: Callable[[int], None]
    clear: Callable[[], None]


SMALL = 4 * 2**20  # bytes


@contextlib.contextmanager
def quota(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Stands for a disk where none can be mounted: writes below ``folder`` end half way at a limit, as they do."""
    write, ballast = os.write, 0

    def limited(handle: int, data: bytes) -> int:
        if str(folder) not in os.readlink(f"/proc/self/fd/{handle}"):
            return write(handle, data)
        used = ballast + sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if used >= SMALL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[: SMALL - used])

    def fill(left: int) -> None:
        nonlocal ballast
        ballast = SMALL - left - sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def clear() -> None:
        nonlocal ballast
        ballast = 0

    patch.setattr(os, "write", limited)
    yield Disk(folder, fill, clear)


@contextlib.contextmanager
def mounted(folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A real disk of its own, in memory."""
    folder.mkdir()
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    try:
        command = [*become, "mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0777", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
        failed = done.stderr if done.returncode else ""
    except OSError as error:
        failed = str(error)
    if failed:
        pytest.skip(f"no disk can be mounted here ({failed.strip()}); the quota's tests stand for it")
    ballast = folder / "ballast"

    def fill(left: int) -> None:
        state = os.statvfs(folder)
        ballast.write_bytes(bytes(state.f_bavail * state.f_frsize - left))

    try:
        yield Disk(folder, fill, ballast.unlink)
    finally:
        subprocess.run([*become, "umount", "-l", str(folder)], check=True, timeout=WAIT)


@pytest.fixture(params=[quota, mounted])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    with request.param(tmp_path / "disk", monkeypatch) as disk:
        yield disk


def recorded_pts(folder: Path) -> list[int]:
    """PTS of everything recorded, after seeing that each file is whole."""
    found = []
    for path in folder.rglob("*.mp4"):
        assert path.stat().st_size, f"{path} is empty"
        assert ffmpeg_complaints(path) == ""
        found += camera_pts(path)
    return sorted(found)


def without_length(path: Path) -> bytes:
    """A recording's bytes, with the duration in its movie header set to 0."""
    data = path.read_bytes()
    at = data.index(b"mvhd") + 20
    return data[:at] + bytes(4) + data[at + 4 :]


def write_all(writer: SegmentWriter, pictures: Iterable[Picture]) -> None:
    for shown in pictures:
        writer.write(shown)
    writer.close()


def test_a_full_disk_is_said_hurts_no_other_output_and_ends_by_itself(disk: Disk, tmp_path: Path) -> None:
    events, stats = OutputEvents(), WatchedStats()
    other_events, other_stats = OutputEvents(), WatchedStats()
    template = str(disk.folder / "%Y%m%d" / "%H%M%S.mp4")
    full = open_output(template, camera="gate", stats=stats, publish=events, segment_seconds=2)
    other = open_output(str(tmp_path / "other.mp4"), camera="gate", stats=other_stats, publish=other_events)
    with Camera(full, other) as camera:
        events.wait_for(lambda event: event.state == "writing")
        disk.fill(100_000)
        events.wait_for(lambda event: (event.state, event.reason) == ("retrying", "disk_full"))
        stats.wait_dropped("output_failed", 3 * RATE)  # long enough for some tries
        left = recorded_pts(disk.folder)
        disk.clear()
        resumed_from = camera.sent[-1]
        events.wait_for(lambda _: states(events).count("writing") == 2)
    kept = recorded_pts(disk.folder)
    assert [pts for pts in kept if pts <= left[-1]] == left  # what was there before stays whole
    first = next(pts for pts in kept if pts > resumed_from)
    assert (first - resumed_from) / 12800 <= RESUMES_WITHIN
    assert states(events) == ["writing", "retrying", "writing", "closed"]
    assert camera_pts(tmp_path / "other.mp4") == camera.sent
    assert other_stats.snapshot().dropped == {}
    assert states(other_events) == ["writing", "closed"]


def test_on_a_full_disk_retention_makes_room_from_its_own_oldest_and_recording_goes_on(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    events, stats = OutputEvents(), WatchedStats()
    kept = disk.folder / "kept.mp4"
    disk.folder.mkdir(exist_ok=True)
    kept.write_bytes(b"not ours")
    template = str(disk.folder / "%Y%m%d-%H%M%S.mp4")
    limits = Limits(days=1)
    output = open_output(
        template, camera="gate", stats=stats, publish=events, segment_seconds=2, retention=limits
    )
    with Camera(output) as camera:
        while len(camera.sent) < 4 * RATE:
            assert camera.tick.acquire(timeout=WAIT)
        disk.fill(100_000)
        filled_at = camera.sent[-1]
        while camera.sent[-1] < filled_at + 6 * RATE * FRAME:
            assert camera.tick.acquire(timeout=WAIT)
    assert kept.read_bytes() == b"not ours"
    kept.unlink()
    found = recorded_pts(disk.folder)
    assert found[0] > FRAME, "the oldest went"
    assert camera.sent[-1] - found[-1] <= MAY_LOSE * 12800  # the disk may be full again at the end
    steps = [later - earlier for earlier, later in pairwise(found)]
    assert max(steps) <= MAY_LOSE * 12800
    assert "retrying" not in states(events)
    assert [record.event for record in caplog.records if "the disk was full" in record.getMessage()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EROFS, "read_only"),
        (errno.EACCES, "denied"),
        (errno.EIO, "disk_error"),
    ],
)
@pytest.mark.parametrize("call", ["open", "write"])
def test_each_fault_of_a_disk_has_its_reason_and_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str, call: str
) -> None:
    """The kernel's answers, given in its place: no disk can be told to fail in each of these ways."""
    genuine = getattr(os, call)
    failing = threading.Event()
    failing.set()

    def faulty(target: object, *arguments: object) -> object:
        path = str(target) if call == "open" else os.readlink(f"/proc/self/fd/{target}")
        if failing.is_set() and path.endswith(".mp4"):
            raise OSError(number, os.strerror(number))
        return genuine(target, *arguments)

    monkeypatch.setattr(os, call, faulty)
    stats, events, never = WatchedStats(), OutputEvents(), threading.Event()
    output = open_output(
        str(tmp_path / "%H%M%S.mp4"),
        camera="gate",
        stats=stats,
        publish=events,
        clock=FakeClock(tick=0.05),
        backoff=Backoff(first=0.001, cap=0.001, floor=0.0),
    )
    for pts in range(0, 40 * FRAME, FRAME):
        assert output.put_wait(picture(pts), cancelled=never)
    event = events.wait_for(lambda event: event.state == "retrying")
    stats.wait_dropped("output_failed", 36)
    stats.wait_all_dropped(40)  # the last picture is dealt with, and nothing is being tried any more
    assert event.reason == reason
    assert list(tmp_path.iterdir()) == []
    failing.clear()
    for pts in range(100 * FRAME, 140 * FRAME, FRAME):
        assert output.put_wait(picture(pts), cancelled=never)
    assert output.close(WAIT)
    assert states(events) == ["retrying", "writing", "closed"]
    assert recorded_pts(tmp_path)[-25:] == list(range(115 * FRAME, 140 * FRAME, FRAME))


def test_a_write_that_fails_half_way_leaves_what_was_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at a random byte: all fragments before it play, and the file has nothing after them."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    whole = tmp_path / "whole.mp4"
    noise = np.random.default_rng(seed)
    pictures = [picture(n * FRAME, rgb=noise.integers(0, 256, (48, 64, 3), np.uint8)) for n in range(100)]
    writer = SegmentWriter(template=str(whole))
    write_all(writer, pictures)
    write = os.write
    for limit in [1, 600, *(rng.randrange(whole.stat().st_size) for _ in range(6))]:
        path, left = tmp_path / f"cut-{limit}-byte.mp4", limit

        def limited(handle: int, data: bytes) -> int:
            nonlocal left
            if not left:
                raise OSError(errno.ENOSPC, "No space left on device")
            count = write(handle, data[:left])
            left -= count
            return count

        writer = SegmentWriter(template=str(path))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", limited)
            with pytest.raises(OSError, match="No space"):
                write_all(writer, pictures)
        if path.exists():
            assert ffmpeg_complaints(path) == ""
            pts = camera_pts(path)
            assert pts == [shown.frame.pts for shown in pictures[: len(pts)]]
            assert without_length(path) == without_length(whole)[: path.stat().st_size]
            length = float(ffprobe(path, "format=duration")["format"]["duration"])
            assert length == pytest.approx(len(pts) / 25, abs=0.002)
            assert limit - path.stat().st_size < 26 * whole.stat().st_size / 100  # a second's
        else:
            assert limit < 26 * whole.stat().st_size / 100


# A camera that goes away --------------------------------------------------------------------------------------


def test_pictures_before_a_pause_are_completed_on_disk(tmp_path: Path) -> None:
    """Else the last second before a camera was torn off would wait in memory for a picture that never comes."""
    writer = SegmentWriter(template=str(tmp_path / "gate.mp4"))
    for number in range(30):
        writer.write(picture(number * FRAME))
    assert len(camera_pts(tmp_path / "gate.mp4")) < 30
    writer.idle(3.5)  # as between pieces that last six seconds
    assert len(camera_pts(tmp_path / "gate.mp4")) < 30
    writer.idle(5.0)
    assert camera_pts(tmp_path / "gate.mp4") == [number * FRAME for number in range(30)]
    writer.write(picture(60 * FRAME))
    writer.close()
    assert camera_pts(tmp_path / "gate-1.mp4") == [60 * FRAME]


def test_a_slow_camera_still_gets_whole_files(tmp_path: Path) -> None:
    writer = SegmentWriter(template=str(tmp_path / "slow.mp4"), segment_seconds=3600)
    sent = []
    for number in range(20):
        sent.append(number * 12800 * 10)  # a picture in 10 s
        writer.write(picture(sent[-1]))
        for second in range(1, 10):
            writer.idle(second)
    writer.close()
    files = sorted(tmp_path.iterdir(), key=lambda path: camera_pts(path)[0])
    assert [pts for path in files for pts in camera_pts(path)] == sent
    assert len(files) <= 3


def test_the_output_tells_a_pause(tmp_path: Path) -> None:
    paused = threading.Event()

    class Writer:
        def write(self, _shown: object) -> None:
            pass

        def idle(self, seconds: float) -> None:
            if seconds >= 1.0:
                paused.set()

        def close(self) -> None:
            pass

    output = Output(Writer(), camera="gate", output="x", stats=WatchedStats())
    output.start()
    output.offer(picture(0))
    assert paused.wait(WAIT)
    assert output.close(WAIT)
