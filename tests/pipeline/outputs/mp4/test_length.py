"""Each recorded file begins at 0 and is as long as it is in every player; the camera's own time is kept beside."""

from __future__ import annotations

import random
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from tests.support.media_helpers import camera_pts, camera_start, packet_pts, picture, probed
from tests.support.players import joined, lengths

WALL = 1_700_000_000.25


def write(writer: SegmentWriter, pts: list[int], time_base: Fraction, *, wall: float = WALL) -> None:
    for number in pts:
        writer.write(picture(number, time_base=time_base, wall_time=wall + float(number * time_base)))


def recordings(folder: Path) -> list[Path]:
    """What was written, in the order of their names, which tell the time."""
    return sorted(folder.glob("*.mp4"))


def description(path: Path) -> str:
    tags = probed(path)["format"]["tags"]
    return str(tags["description"])


# The first minute and the 10,000th, in the time bases of RTSP, of NTSC's files, and of nobody.
@pytest.mark.parametrize(
    ("begins", "time_base", "ticks"),
    [
        (0, Fraction(1, 90_000), 9000),
        (600_000, Fraction(1, 90_000), 9000),
        (600_000, Fraction(1001, 30_000), 3),
        (600_000, Fraction(1, 1_000_003), 99_991),
    ],
)
def test_every_segment_has_its_length_in_every_player_and_they_join_without_a_hole(
    tmp_path: Path, begins: int, time_base: Fraction, ticks: int
) -> None:
    first = round(begins / time_base)
    sent = [first + number * ticks for number in range(175)]
    writer = SegmentWriter(template=str(tmp_path / "%Y%m%d-%H%M%S.mp4"), segment_seconds=5)
    write(writer, sent, time_base)
    writer.close()
    files = recordings(tmp_path)
    frame = float(ticks * time_base)
    recorded = [camera_pts(path) for path in files]
    assert len(files) == 4
    assert [pts for each in recorded for pts in each] == sent
    for length, count in zip(lengths(files), map(len, recorded), strict=True):
        assert length.furthest_from(count * frame) < 0.002  # headers of GStreamer count milliseconds
        assert length.pictures == count
    times, whole = joined(files, tmp_path)
    assert times == pytest.approx([number * frame for number in range(175)], abs=0.001)
    assert whole == pytest.approx(175 * frame, abs=0.002)


def test_a_camera_that_has_no_steady_rate_loses_no_time_between_files(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    sent = [rng.randrange(10**11)]
    while sent[-1] < sent[0] + 22 * 90_000:  # half a file at the end, of more than one picture
        sent.append(sent[-1] + rng.randrange(900, 27_000))  # 0.01 to 0.3 s
    base = Fraction(1, 90_000)
    writer = SegmentWriter(template=str(tmp_path / "%Y%m%d-%H%M%S.mp4"), segment_seconds=4)
    write(writer, sent, base)
    writer.close()
    files = recordings(tmp_path)
    recorded = [camera_pts(path) for path in files]
    begins = [pts[0] for pts in recorded]
    assert len(files) >= 5
    assert [pts for each in recorded for pts in each] == sent
    told = lengths(files)
    for length, (begin, end) in zip(told, pairwise(begins), strict=False):
        assert length.furthest_from(float((end - begin) * base)) < 0.02  # OpenCV: pictures / their mean rate
        assert abs(length.ffprobe - float((end - begin) * base)) < 1e-4
    last = recorded[-1]
    mean = Fraction(last[-1] - last[0], len(last) - 1)
    assert told[-1].ffprobe == pytest.approx(float((last[-1] + mean - last[0]) * base), abs=1e-4)
    times, whole = joined(files, tmp_path)
    assert times == pytest.approx([float((pts - sent[0]) * base) for pts in sent], abs=0.001)
    # ffmpeg 5.1 makes up how long the last picture of all lasts.
    assert whole == pytest.approx(float((last[-1] + mean - sent[0]) * base), abs=float(mean * base))


def last_kept(folder: Path) -> int:
    """The camera's PTS of the last picture that is in a file."""
    for path in reversed(recordings(folder)):
        with av.open(str(path)) as file:
            pts: list[int] = [packet.pts for packet in file.demux(video=0) if packet.pts is not None]
            if pts:
                first, _ = camera_start(file.metadata["description"])
                return first + max(pts)
    return -1


@pytest.mark.parametrize("interval", [0.2, 0.7, 1.0, 1.5, 3.0])
def test_a_sigkill_costs_at_most_two_seconds_or_one_picture_at_any_moment(
    tmp_path: Path, interval: float
) -> None:
    """Files of 4 s: what is held until its duration is known comes to what the muxer holds back."""
    ticks = round(interval * 90_000)
    writer = SegmentWriter(template=str(tmp_path / "%Y%m%d-%H%M%S.mp4"), segment_seconds=4)
    for number in range(round(13 / interval)):
        write(writer, [number * ticks], Fraction(1, 90_000))
        if number:
            lost = number - last_kept(tmp_path) // ticks
            assert lost == 1 or lost * interval <= 2, number
    writer.close()


@pytest.mark.parametrize("rate", [1, 10])
def test_what_a_sigkill_leaves_has_its_length_too(tmp_path: Path, rate: int) -> None:
    """The file is copied while it is open: what the system was given stays when the process is killed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    base, first = Fraction(1, 90_000), 600_000 * 90_000
    sent = [first + number * 90_000 // rate for number in range(30 * rate)]
    moments = sorted(rng.sample(range(3 * rate, 30 * rate), 4))
    copies = []
    writer = SegmentWriter(template=str(tmp_path / "x.mp4"))
    for number in range(30 * rate):
        write(writer, sent[number : number + 1], base)
        if number in moments:
            copies.append(tmp_path / f"killed-{number}.mp4")
            shutil.copy(tmp_path / "x.mp4", copies[-1])
    for moment, path, length in zip(moments, copies, lengths(copies), strict=True):
        kept = camera_pts(path)
        assert kept == sent[: len(kept)]
        assert moment + 1 - len(kept) <= rate
        assert length.furthest_from(len(kept) / rate) < 0.002
        assert camera_start(description(path)) == (first, base)


def test_the_camera_s_time_is_in_the_first_bytes_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    writer = SegmentWriter(template=str(path))
    write(writer, [54_000_000_000], Fraction(1, 90_000), wall=1_893_456_000.5 - 600_000)
    assert b'"camera_pts": 54000000000, "camera_time_base": "1/90000"' in path.read_bytes()[:2048]
    writer.close()
    tags = probed(path)["format"]["tags"]
    assert '"wall_time": "2030-01-01T00:00:00.500Z"' in tags["description"]
    assert tags["creation_time"] == "2030-01-01T00:00:00.000000Z"


def test_files_of_one_picture_each_last_from_one_to_the_next(tmp_path: Path) -> None:
    writer = SegmentWriter(template=str(tmp_path / "%Y%m%d-%H%M%S.mp4"), segment_seconds=1)
    write(writer, [number * 90_000 for number in range(5)], Fraction(1, 90_000))
    writer.close()
    files = recordings(tmp_path)
    assert [len(packet_pts(path)) for path in files] == [1] * 5
    assert [length.furthest_from(1.0) < 0.002 for length in lengths(files[1:])] == [True] * 4
    assert joined(files[1:], tmp_path)[0] == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.001)


def test_pictures_far_apart_in_nanoseconds_are_recorded_to_the_microsecond(tmp_path: Path) -> None:
    path, base = tmp_path / "x.mp4", Fraction(1, 10**9)
    writer = SegmentWriter(template=str(path))
    write(writer, [6 * 10**14 + number * 3_000_000_000 for number in range(5)], base)
    writer.close()
    assert camera_start(description(path)) == (6 * 10**14, base)
    assert packet_pts(path) == [number * 3_000_000 for number in range(5)]
    (length,) = lengths([path])
    assert length.furthest_from(15.0) < 0.002


def test_a_pause_is_in_the_camera_s_time_and_in_no_file(tmp_path: Path) -> None:
    base, second = Fraction(1, 90_000), 90_000
    writer = SegmentWriter(template=str(tmp_path / "%Y%m%d-%H%M%S.mp4"), segment_seconds=60)
    write(writer, [number * second // 10 for number in range(50)], base)
    writer.idle(3.0)
    write(writer, [3600 * second + number * second // 10 for number in range(50)], base)
    # Here nobody had the time to say that there is a pause.
    write(writer, [7200 * second + number * second // 10 for number in range(50)], base)
    writer.close()
    files = recordings(tmp_path)
    assert [camera_start(description(path))[0] // second for path in files] == [0, 3600, 7200]
    for length in lengths(files):
        assert length.furthest_from(5.0) < 0.002
