"""HLS in a folder, as ffmpeg and GStreamer play it."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.core.atomic_file import write_atomically
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.events import Event, FileBegun, FileFinished
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs.encoding.shared_encoder import EncoderClient, SharedEncoder
from nightday.pipeline.outputs.hls import writer as writer_module
from nightday.pipeline.outputs.hls.playlist import Playlist
from nightday.pipeline.outputs.hls.writer import HlsWriter
from nightday.pipeline.outputs.registry import open_output, output_fault
from tests.support.media_helpers import OutputEvents, WatchedStats, ffmpeg_complaints, ffprobe, picture
from tests.support.rtsp_server import WAIT

RATE = 25
FRAME = 512  # ticks of a frame at 25 fps
START = 1_700_000_000.0  # 22:13:20 UTC

# Run by the system's Python, which has GStreamer.
_PLAY = """
import json, sys
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
sink = "fakesink name=sink signal-handoffs=true sync=false"
pipeline = Gst.parse_launch(f"uridecodebin uri={sys.argv[1]} ! videoconvert ! {sink}")
count = 0
def came(*_):
    global count
    count += 1
pipeline.get_by_name("sink").connect("handoff", came)
pipeline.set_state(Gst.State.PLAYING)
wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR
message = pipeline.get_bus().timed_pop_filtered(40 * Gst.SECOND, wanted)
error = "timeout" if message is None else message.parse_error()[1] if message.type == Gst.MessageType.ERROR else ""
pipeline.set_state(Gst.State.NULL)
print(json.dumps({"pictures": count, "error": error}))
"""


def shown(number: int, *, size: tuple[int, int] = (64, 48), pause: float = 0.0) -> Picture:
    """The picture of a camera at 25 fps, in which something moves; ``pause`` seconds are left out before it."""
    rgb = np.full((size[1], size[0], 3), 90, np.uint8)
    rgb[8:24, number % 40 : number % 40 + 8] = 200
    return picture(
        round((number / RATE + pause) * 12_800), size=size, rgb=rgb, wall_time=START + number / RATE + pause
    )


def writer(path: Path, *, window: float = 60.0, publish: list[Event] | None = None) -> HlsWriter:
    kept: list[Event] = [] if publish is None else publish
    encoder = EncoderClient(SharedEncoder())
    return HlsWriter(playlist=path, window=window, generated=True, encoder=encoder, publish=kept.append)


def write(to: HlsWriter, numbers: Iterable[int]) -> None:
    for number in numbers:
        to.write(shown(number))


def ended(path: Path) -> Path:
    """The same playlist with an end, so that players do not wait for more."""
    copy = path.with_name("ended.m3u8")
    copy.write_text(path.read_text() + "#EXT-X-ENDLIST\n")
    return copy


def times(path: Path) -> list[float]:
    return [round(float(one["pts_time"]), 4) for one in ffprobe(path, "packet=pts_time")["packets"]]


def listed(path: Path) -> Playlist:
    playlist = Playlist.read(path.read_text())
    assert playlist is not None
    return playlist


def test_what_ffmpeg_and_gstreamer_play_is_what_was_written(tmp_path: Path) -> None:
    path, events = tmp_path / "out" / "live.m3u8", list[Event]()
    one = writer(path, publish=events)
    write(one, range(160))
    one.close()
    assert times(ended(path)) == [round(number / RATE, 4) for number in range(160)]
    assert ffmpeg_complaints(ended(path)) == ""
    command = ["/usr/bin/python3", "-c", _PLAY, ended(path).as_uri()]
    played = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(played.stdout) == {"pictures": 160, "error": ""}
    assert [type(event) for event in events] == [FileBegun, FileFinished]
    assert path.stat().st_mode & 0o777 == 0o644  # for whoever runs the web server
    assert b"generated" in (tmp_path / "out" / "live-000000-header.mp4").read_bytes()


def test_each_segment_plays_by_itself_and_tells_its_time_of_day(tmp_path: Path) -> None:
    path = tmp_path / "live.m3u8"
    one = writer(path)
    write(one, range(170))
    one.close()
    segments = listed(path).segments
    assert [segment.seconds for segment in segments] == [2.0, 2.0, 2.0, pytest.approx(0.8)]
    assert [segment.begins for segment in segments] == [
        f"2023-11-14T22:13:{20 + second}.000Z" for second in (0, 2, 4, 6)
    ]
    for number, segment in enumerate(segments):
        alone = tmp_path / "alone.mp4"
        alone.write_bytes((tmp_path / segment.header).read_bytes() + (tmp_path / segment.name).read_bytes())
        packets = ffprobe(alone, "packet=pts_time,flags")["packets"]
        assert packets[0]["flags"].startswith("K")
        assert float(packets[0]["pts_time"]) == pytest.approx(2 * number)
        assert ffmpeg_complaints(alone) == ""
    text = path.read_text()
    assert "#EXT-X-TARGETDURATION:2\n" in text
    assert "#EXT-X-ENDLIST" not in text


def test_old_segments_leave_the_playlist_and_then_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "live.m3u8"
    one = writer(path, window=10)
    write(one, range(60 * RATE))
    one.close()
    playlist = listed(path)
    total = sum(segment.seconds for segment in playlist.segments)
    assert 10 <= total < 14
    assert playlist.next_number == 30
    there = sorted(file.name for file in tmp_path.glob("*.m4s"))
    assert there[-len(playlist.segments) :] == [segment.name for segment in playlist.segments]
    assert len(playlist.segments) < len(there) <= 2 * len(playlist.segments) + 1
    assert [file.name for file in tmp_path.glob("*-header.mp4")] == ["live-000000-header.mp4"]


def test_a_restart_goes_on_with_a_discontinuity_and_uses_no_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "live.m3u8"
    for start in (0, 1000, 3000):
        one = writer(path, window=10)
        write(one, range(start, start + 4 * RATE))
        one.close()
    playlist = listed(path)
    assert [segment.name for segment in playlist.segments] == [
        f"live-{number:06d}.m4s" for number in (1, 2, 3, 4, 5)
    ]
    assert [segment.breaks for segment in playlist.segments] == [False, True, False, True, False]
    assert len({segment.header for segment in playlist.segments}) == 3
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in path.read_text()
    one = writer(path, window=10)
    write(one, range(9000, 9000 + 8 * RATE))
    one.close()
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:2\n" in path.read_text()
    assert ffmpeg_complaints(ended(path)) == ""
    assert len(times(ended(path))) == round(sum(segment.seconds for segment in listed(path).segments) * RATE)


def test_a_pause_and_another_size_are_discontinuities(tmp_path: Path) -> None:
    path = tmp_path / "live.m3u8"
    one = writer(path)
    write(one, range(50))
    one.idle(2.0)  # a short one
    assert not path.exists()
    one.idle(5.0)
    assert [segment.seconds for segment in listed(path).segments] == [2.0]
    for number in range(50, 100):
        one.write(shown(number, pause=30.0))
    for number in range(100, 150):
        one.write(shown(number, size=(96, 64), pause=30.0))
    one.close()
    segments = listed(path).segments
    assert [segment.breaks for segment in segments] == [False, True, True]
    assert [segment.begins[17:19] for segment in segments] == ["20", "52", "54"]
    assert ffprobe(tmp_path / segments[2].header, "stream=width,height")["streams"] == [
        {"width": 96, "height": 64}
    ]


@pytest.mark.parametrize("left", ["", "not a playlist", "#EXTM3U\n#EXTINF:2.0,\n../../etc/passwd\n", "gone"])
def test_a_playlist_that_cannot_be_read_is_begun_anew_after_all_names_there_are(
    tmp_path: Path, left: str
) -> None:
    path, mine = tmp_path / "live.m3u8", tmp_path / "holiday-000001.m4s"
    one = writer(path)
    write(one, range(120))
    one.close()
    mine.write_bytes(b"mine")
    if left == "gone":  # a segment that the playlist names
        (tmp_path / "live-000001.m4s").unlink()
    else:
        path.write_text(left)
    again = writer(path)
    write(again, range(500, 600))
    again.close()
    assert [segment.name for segment in listed(path).segments] == ["live-000003.m4s", "live-000004.m4s"]
    assert sorted(file.name for file in tmp_path.glob("live-*")) == [
        "live-000003-header.mp4",
        "live-000003.m4s",
        "live-000004.m4s",
    ]
    assert mine.read_bytes() == b"mine"


def test_whoever_reads_the_playlist_meanwhile_finds_all_that_it_names(tmp_path: Path) -> None:
    path, over, seen = tmp_path / "live.m3u8", threading.Event(), list[str]()

    def read() -> None:
        while not over.is_set():
            if not path.exists():
                continue
            playlist = Playlist.read(path.read_text())
            if playlist is None:
                seen.append("half a playlist")
                return
            missing = [one.name for one in playlist.segments if not (tmp_path / one.name).exists()]
            seen.extend(missing)

    reader = threading.Thread(target=read)
    reader.start()
    one = writer(path, window=10)
    write(one, range(40 * RATE))
    over.set()
    reader.join(WAIT)
    one.close()
    assert seen == []


def test_a_full_disk_costs_the_older_half_and_then_the_output_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, full = tmp_path / "live.m3u8", list[int]()
    real = write_atomically

    def no_room(to: Path, *rest: object, **more: object) -> None:
        if full and to.suffix == ".m4s":
            full.pop()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(to, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(writer_module, "write_atomically", no_room)
    one = writer(path)
    write(one, range(20 * RATE + 1))
    assert len(listed(path).segments) == 10
    full.append(1)
    write(one, range(20 * RATE + 1, 23 * RATE))
    playlist = listed(path)
    assert (playlist.number, len(playlist.segments)) == (5, 6)
    assert len(list(tmp_path.glob("*.m4s"))) == 6
    full.extend([1, 1])
    with pytest.raises(OSError, match="No space left"):
        write(one, range(23 * RATE, 26 * RATE))
    one.close()
    one.write(shown(1000))
    one.close()
    assert listed(path).segments[-1].breaks
    assert ffmpeg_complaints(ended(path)) == ""


def test_an_output_of_a_camera_writes_hls_at_its_own_rate(tmp_path: Path) -> None:
    stats, events = WatchedStats(), OutputEvents()
    one = open_output(f"hls:{tmp_path}/live.m3u8", camera="gate", stats=stats, publish=events, window=20)
    never = threading.Event()
    for number in range(110):
        assert one.put_wait(shown(number), cancelled=never)
    assert one.close(WAIT)
    assert [event.state for event in events] == ["writing", "closed"]
    assert len(times(ended(tmp_path / "live.m3u8"))) == 110
    assert stats.snapshot().dropped == {}


def test_a_folder_that_cannot_be_made_is_a_fault_of_this_output_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    events = OutputEvents()
    one = open_output(f"hls:{tmp_path}/file/live.m3u8", camera="gate", stats=CameraStats(), publish=events)
    never = threading.Event()
    for number in range(60):
        one.put_wait(shown(number), cancelled=never)
    events.wait_for(lambda event: event.state == "retrying")
    assert one.close(WAIT)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hls:out/live", "must end in .m3u8"),
        ("hls:out/.m3u8", "must end in .m3u8"),
        ("hls:out/%Y.m3u8", "holds a %"),
        ("hls://host/live.m3u8", "is a path and no address"),
    ],
)
def test_addresses_that_are_no_playlist(address: str, said: str) -> None:
    fault = output_fault(address)
    assert fault is not None
    assert said in fault
    assert output_fault("hls:out/live.m3u8") is None


def test_a_playlist_is_read_as_it_was_written(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "live.m3u8"
    one = writer(path)
    number = 0
    for _ in range(6):
        count = int(rng.integers(20, 120))
        write(one, range(number, number + count))
        number += count
        if rng.random() < 0.5:
            one.idle(10)
    one.close()
    text = path.read_text()
    assert listed(path).text() == text
    lengths = [Fraction(found) for found in re.findall(r"#EXTINF:([0-9.]+),", text)]
    assert sum(lengths) == Fraction(number, RATE)
