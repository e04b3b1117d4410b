"""Recordings: PTS kept exactly, files that play however the process ended, nothing written over."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import random
import resource
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.events import Event, FileBegun, FileFinished
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from nightday.pipeline.outputs.output import QUEUE, Output
from nightday.pipeline.outputs.registry import open_output, output_fault
from tests.support.media_helpers import (
    FakeClock,
    OutputEvents,
    WatchedStats,
    camera_pts,
    clip_pts,
    ffmpeg_complaints,
    ffprobe,
    packet_pts,
    picture,
)
from tests.support.rtsp_server import CLIP, WAIT

BASE = Fraction(1, 12800)
FRAME = 512  # ticks of a frame at 25 fps


def write_all(writer: SegmentWriter, pts: list[int]) -> None:
    for number in pts:
        writer.write(picture(number, wall_time=1_700_000_000 + number / 12800))
    writer.close()


def write_noise(writer: SegmentWriter, numbers: range) -> None:
    """Pictures that no codec can make small."""
    for number in numbers:
        noise = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        writer.write(picture(number * FRAME, rgb=noise, wall_time=1_700_000_000 + number))


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"), key=lambda path: camera_pts(path)[0])


@pytest.mark.slow
def test_pts_and_time_base_of_the_clip_are_kept_and_the_pictures_too(tmp_path: Path) -> None:
    writer = SegmentWriter(template=str(tmp_path / "a" / "b" / "clip.mp4"))
    pictures = []
    with av.open(str(CLIP)) as clip:
        for frame in clip.decode(video=0):
            pictures.append(frame.to_ndarray(format="rgb24"))
            writer.write(picture(frame.pts, time_base=frame.time_base, rgb=pictures[-1]))
    writer.close()
    path = tmp_path / "a" / "b" / "clip.mp4"
    assert packet_pts(path) == clip_pts(CLIP)
    assert ffprobe(path, "stream=time_base")["streams"][0]["time_base"] == "1/12800"
    assert ffmpeg_complaints(path) == ""
    with av.open(str(path)) as written:
        for frame, rgb in zip(written.decode(video=0), pictures, strict=True):
            assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - rgb).mean() < 6


def test_segments_follow_each_other_without_a_gap_in_pts_however_high(tmp_path: Path) -> None:
    rng = random.Random(5)
    sent = [10**12 + 7]
    while len(sent) < 200:
        sent.append(sent[-1] + rng.randrange(FRAME // 2, FRAME * 2))
    write_all(SegmentWriter(template=str(tmp_path / "%Y%m%d-%H%M%S.mp4"), segment_seconds=3), sent)
    files = recordings(tmp_path)
    assert len(files) >= 3
    assert [pts for path in files for pts in camera_pts(path)] == sent
    for path in files:
        first = ffprobe(path, "packet=pts,flags")["packets"][0]
        assert first["flags"].startswith("K")


def test_a_segment_ends_when_its_time_is_up(tmp_path: Path) -> None:
    sent = list(range(0, 250 * FRAME, FRAME))
    write_all(SegmentWriter(template=str(tmp_path / "%H%M%S.mp4"), segment_seconds=4), sent)
    files = recordings(tmp_path)
    assert [len(packet_pts(path)) for path in files] == [100, 100, 50]
    assert [ffmpeg_complaints(path) for path in files] == ["", "", ""]


def test_a_time_base_that_is_no_unit_fraction_keeps_the_times(tmp_path: Path) -> None:
    writer = SegmentWriter(template=str(tmp_path / "ntsc.mp4"))
    for number in range(100, 140):
        writer.write(picture(number, time_base=Fraction(1001, 30_000)))
    writer.close()
    assert packet_pts(tmp_path / "ntsc.mp4") == [number * 1001 for number in range(40)]
    assert camera_pts(tmp_path / "ntsc.mp4") == list(range(100, 140))
    assert ffprobe(tmp_path / "ntsc.mp4", "stream=time_base")["streams"][0]["time_base"] == "1/30000"


def test_names_come_from_the_wall_time_and_nothing_is_written_over(tmp_path: Path) -> None:
    old = tmp_path / "gate.mp4"
    old.write_bytes(b"kept")
    write_all(SegmentWriter(template=str(old), segment_seconds=1), list(range(0, 60 * FRAME, FRAME)))
    assert old.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gate-1.mp4",
        "gate-2.mp4",
        "gate-3.mp4",
        "gate.mp4",
    ]


def test_a_new_size_begins_a_new_file(tmp_path: Path) -> None:
    writer = SegmentWriter(template=str(tmp_path / "%H%M%S.mp4"))
    for number in range(20):
        size = (64, 48) if number < 10 else (96, 80)
        writer.write(picture(number * FRAME, size=size))
    writer.close()
    files = recordings(tmp_path)
    assert [camera_pts(path) for path in files] == [
        [number * FRAME for number in range(10)],
        [number * FRAME for number in range(10, 20)],
    ]
    widths = [ffprobe(path, "stream=width,height")["streams"][0] for path in files]
    assert [(size["width"], size["height"]) for size in widths] == [(64, 48), (96, 80)]


@pytest.mark.parametrize(("size", "space"), [((353, 289), "smpte170m"), ((1281, 721), "bt709")])
def test_odd_sizes_are_cropped_and_colours_are_marked_and_right(
    tmp_path: Path, size: tuple[int, int], space: str
) -> None:
    red = np.full((size[1], size[0], 3), (200, 30, 40), np.uint8)
    red[-1], red[:, -1] = 0, 0  # the row and column that go
    writer = SegmentWriter(template=str(tmp_path / "odd.mp4"))
    for number in range(3):
        writer.write(picture(number * FRAME, rgb=red))
    writer.close()
    stream = ffprobe(tmp_path / "odd.mp4", "stream=width,height,pix_fmt,color_range,color_space")["streams"][
        0
    ]
    assert (stream["width"], stream["height"]) == (size[0] - 1, size[1] - 1)
    assert (stream["pix_fmt"], stream["color_range"], stream["color_space"]) == ("yuv420p", "tv", space)
    # ffmpeg, which reads the marks, is the judge of the colour.
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(tmp_path / "odd.mp4"), "-frames:v", "1"]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
    ).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(size[1] - 1, size[0] - 1, 3)
    assert np.abs(shown.astype(int) - (200, 30, 40)).max() <= 4


@pytest.mark.parametrize("generated", [True, False])
def test_the_file_says_how_to_tell_generated_pictures_if_any_may_come(
    tmp_path: Path, generated: bool
) -> None:
    write_all(SegmentWriter(template=str(tmp_path / "x.mp4"), generated=generated), [0, FRAME])
    tags = ffprobe(tmp_path / "x.mp4", "format_tags=comment")["format"].get("tags", {})
    note = "nightday-stream: pictures marked 'synthetic day' are generated"
    assert tags == ({"comment": note} if generated else {})


@pytest.mark.slow
def test_after_sigkill_all_but_the_last_two_seconds_play(tmp_path: Path) -> None:
    """A process writes 25 fps pictures without end, says each PTS once written, and is killed under way."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from nightday.pipeline.outputs.mp4.writer import SegmentWriter\n"
        "from tests.support.media_helpers import picture\n"
        "writer = SegmentWriter(template=sys.argv[1], segment_seconds=5)\n"
        f"for number in range(10**6):\n"
        f"    writer.write(picture(number * {FRAME}))\n"
        f"    print(number * {FRAME}, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "k.mp4"), str(Path(__file__).parents[4])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        written = [int(process.stdout.readline()) for _ in range(333)]
        process.kill()
        written += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    files = recordings(tmp_path)
    kept = [pts for path in files for pts in camera_pts(path)]
    assert kept == list(range(0, len(kept) * FRAME, FRAME))
    assert (written[-1] - kept[-1]) * BASE <= 2
    for path in files[:-1]:
        assert ffmpeg_complaints(path) == ""
    with av.open(str(files[-1])) as last:
        assert [frame.pts for frame in last.decode(video=0)] == packet_pts(files[-1])


def test_each_file_is_reported_when_it_begins_and_when_it_is_complete(tmp_path: Path) -> None:
    events: list[Event] = []
    template = str(tmp_path / "x.mp4")
    writer = SegmentWriter(template=template, segment_seconds=1, camera="gate", publish=events.append)
    for number in range(60):
        writer.write(picture(number * FRAME))
    assert isinstance(events[-1], FileBegun)  # the last file is still open
    writer.close()
    names = ["x.mp4", "x-1.mp4", "x-2.mp4"]
    assert events == [
        step(camera="gate", path=tmp_path / name) for name in names for step in (FileBegun, FileFinished)
    ]
    assert {path.name for path in tmp_path.iterdir()} == set(names)


@pytest.mark.parametrize(("pictures", "stays"), [(0, False), (60, True)])
def test_a_file_that_fails_is_reported_as_finished_only_if_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: int, stays: bool
) -> None:
    events: list[Event] = []
    path, write, full = tmp_path / "x.mp4", os.write, threading.Event()

    def limited(handle: int, data: bytes) -> int:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data)

    monkeypatch.setattr(os, "write", limited)
    writer = SegmentWriter(template=str(path), camera="gate", publish=events.append)
    for number in range(pictures):
        writer.write(picture(number * FRAME))
    full.set()
    with pytest.raises(OSError, match="No space"):
        write_noise(writer, range(pictures, pictures + 60))
    assert path.exists() == stays
    finished = [FileFinished(camera="gate", path=path)] if stays else []
    assert events == [FileBegun(camera="gate", path=path), *finished]


# As an output -------------------------------------------------------------------------------------------------


def test_an_output_writes_everything_before_it_closes(tmp_path: Path) -> None:
    stats, events = CameraStats(), OutputEvents()
    opened = open_output(str(tmp_path / "s.mp4"), camera="gate", stats=stats, publish=events)
    taken = [
        number * FRAME for number in range(400) if opened.offer(picture(number * FRAME, size=(320, 240)))
    ]
    assert opened.close(WAIT)
    assert packet_pts(tmp_path / "s.mp4") == taken
    assert stats.snapshot().dropped.get("output_slow", 0) == 400 - len(taken)
    assert [event.state for event in events] == ["writing", "closed"]


class Blocked:
    """A writer that comes back only when released."""

    def __init__(self) -> None:
        self.entered, self.released, self.written = threading.Event(), threading.Event(), 0

    def write(self, _picture: object) -> None:
        self.entered.set()
        self.released.wait(WAIT)
        self.written += 1

    def idle(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        self.released.wait(WAIT)


def test_offer_never_waits_and_counts_what_it_cannot_take() -> None:
    stats, writer = CameraStats(), Blocked()
    opened = Output(writer, camera="gate", output="slow", stats=stats)
    opened.start()
    assert opened.offer(picture(0))
    assert writer.entered.wait(WAIT)
    assert [opened.offer(picture(number)) for number in range(1, QUEUE + 4)] == [True] * QUEUE + [False] * 3
    assert stats.snapshot().dropped == {"output_slow": 3}
    assert not opened.close(0.01)
    assert not opened.offer(picture(99))
    writer.released.set()
    assert opened.close(WAIT)
    assert writer.written == QUEUE + 1


def test_latency_runs_until_the_picture_is_written() -> None:
    stats, clock = CameraStats(), FakeClock()

    class Slow:
        """A fifth of a second a picture; the last one it loses."""

        def write(self, shown: Picture) -> None:
            clock.now += 0.2
            if shown.frame.pts == 3:
                raise OSError("disk full")

        def idle(self, seconds: float) -> None:
            pass

        def close(self) -> None:
            pass

    opened = Output(Slow(), camera="gate", output="slow", stats=stats, clock=clock)
    for number in range(4):
        shown = picture(number)
        frame = dataclasses.replace(shown.frame, decoded_at=clock.now)
        assert opened.offer(dataclasses.replace(shown, frame=frame))
    assert stats.snapshot().latency_p50 is None
    opened.start()
    assert opened.close(WAIT)
    latency = stats.snapshot()
    assert latency.latency_p50 == pytest.approx(0.4)  # 0.2, 0.4 and 0.6: the others waited in the queue
    assert latency.latency_p95 == pytest.approx(0.58)


def test_a_waiting_put_loses_nothing_and_can_be_cancelled() -> None:
    stats, writer, cancelled = CameraStats(), Blocked(), threading.Event()
    opened = Output(writer, camera="gate", output="slow", stats=stats)
    opened.start()
    for number in range(QUEUE):
        assert opened.put_wait(picture(number), cancelled=cancelled)
    assert writer.entered.wait(WAIT)
    assert opened.put_wait(picture(QUEUE), cancelled=cancelled)  # in the place of the one being written
    results: list[bool] = []
    waiting = threading.Thread(
        target=lambda: results.append(opened.put_wait(picture(9), cancelled=cancelled))
    )
    waiting.start()
    cancelled.set()
    waiting.join(WAIT)
    assert results == [False]
    writer.released.set()
    assert opened.close(WAIT)
    assert writer.written == QUEUE + 1
    assert stats.snapshot().dropped == {}


def test_a_folder_that_cannot_be_written_is_retried_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "out"
    blocked.write_text("a file where the folder should be")
    stats, events, never = WatchedStats(), OutputEvents(), threading.Event()
    backoff = Backoff(first=0.001, cap=0.001, floor=0.0)  # over by the clock's next tick
    opened = open_output(
        str(blocked / "x.mp4"),
        camera="gate",
        stats=stats,
        publish=events,
        clock=FakeClock(tick=0.01),
        backoff=backoff,
    )
    for number in range(5):
        opened.put_wait(picture(number * FRAME), cancelled=never)
    stats.wait_dropped("output_failed", 5)
    blocked.unlink()
    sent = [number * FRAME for number in range(5, 25)]
    for pts in sent:
        opened.put_wait(picture(pts), cancelled=never)
    assert opened.close(WAIT)
    assert camera_pts(blocked / "x.mp4") == sent
    assert [event.state for event in events] == ["retrying", "writing", "closed"]
    assert stats.snapshot().dropped == {"output_failed": 5}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "out/x.mp4" in caplog.text


def test_no_try_is_made_before_the_back_off_is_over(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    stats, events, clock = WatchedStats(), OutputEvents(), FakeClock()
    hour = Backoff(first=3600.0, cap=3600.0, floor=3600.0)
    opened = open_output(
        str(tmp_path / "out" / "x.mp4"),
        camera="gate",
        stats=stats,
        publish=events,
        clock=clock,
        backoff=hour,
    )
    opened.offer(picture(0))
    stats.wait_dropped("output_failed", 1)
    (tmp_path / "out").unlink()
    opened.offer(picture(FRAME))
    stats.wait_dropped("output_failed", 2)
    assert not (tmp_path / "out").exists()
    clock.now += 3600
    opened.offer(picture(2 * FRAME))
    assert opened.close(WAIT)
    assert camera_pts(tmp_path / "out" / "x.mp4") == [2 * FRAME]


def test_a_full_disk_is_said_and_recording_goes_on_once_there_is_room(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the kernel refuses the write half way."""
    writer = SegmentWriter(template=str(tmp_path / "%H%M%S.mp4"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_noise(writer, range(500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with contextlib.suppress(OSError):
        writer.close()
    write_noise(writer, range(10_000, 10_030))
    writer.close()
    assert camera_pts(recordings(tmp_path)[-1]) == [number * FRAME for number in range(10_000, 10_030)]


# What may be an output ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output", ["out/gate/%Y%m%d-%H%M%S.mp4", "./a:b.mp4", "rtsp://u:p@127.0.0.1:8554/day", "RTSP://h/day"]
)
def test_outputs_that_are_there(output: str) -> None:
    assert output_fault(output) is None


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("out/gate.avi", "must end in .mp4"),
        ("out/", "must end in .mp4"),
        ("file:///out/x.mp4", "without file:"),
        (
            "srt://h:1234",
            "srt outputs are not built in yet: PyAV's ready-made package has no SRT. Publish by rtsp://",
        ),
        ("srt://h:1?passphrase=letmein99", "srt outputs are not built in yet"),
        (
            "https://user:letmein99@h/whip",
            "https outputs are not built in yet: a stream to a web server by WHIP is whips://host/path",
        ),
        ("hls:out/gate/live.mp4", "the playlist must end in .m3u8"),
        ("rtsp:///day", "no host"),
        ("rtsp://u:letmein99@h:0/day", "has no usable port"),
        ("rtsp://letmein:letmein99/day", "has no usable port"),
        ("concat:a|b", "'concat' is no output"),
    ],
)
def test_outputs_that_are_not(output: str, said: str) -> None:
    fault = output_fault(output)
    assert fault is not None
    assert said in fault
    assert "\n" not in fault
    assert "letmein99" not in fault
    assert "streamkey" not in fault
    with pytest.raises(ValueError, match="output"):
        open_output(output, camera="gate", stats=CameraStats())
