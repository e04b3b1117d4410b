"""What a recording was made from is told by hashes that any copy of the source's stream bears out."""

from __future__ import annotations

import hashlib
import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.core.packet_log import KEPT, PacketLog, PacketMark
from nightday.pipeline.outputs.mp4.provenance.cli import main
from nightday.pipeline.outputs.mp4.provenance.original import Original, OriginalFile
from nightday.pipeline.outputs.mp4.provenance.records import read, record_path
from nightday.pipeline.outputs.mp4.provenance.verify import verify
from nightday.pipeline.outputs.registry import open_output
from tests.faults.camera import Camera
from tests.support.clips import ffmpeg
from tests.support.media_helpers import OutputEvents, WatchedStats
from tests.support.rtsp_server import WAIT

X264 = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-x264-params",
    "threads=1:slices=1",
)
X265 = (
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-x265-params",
    "log-level=none:pools=1",
)
FRAMES = 60


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's key is."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def clip(path: Path, *encoder: str, seed: int = 0) -> Path:
    """A clip of noise over a test pattern, with a key frame every 10 and B frames."""
    source = f"testsrc2=size=96x64:rate=10,noise=alls=40:all_seed={seed}"
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", str(FRAMES), *encoder, "-g", "10", path)
    return path


def copied(path: Path, ending: str) -> Path:
    """The same packets in another container, as a recorder has them."""
    copy = path.with_name(f"{path.stem}-copy{ending}")
    ffmpeg("-i", path, "-c", "copy", copy)
    return copy


def slices_by_ffmpeg(path: Path, types: str) -> list[bytes]:
    """The coded slices of a clip, one to a picture: split off by ffmpeg, at start codes."""
    convert = "hevc_mp4toannexb" if "265" in path.name else "h264_mp4toannexb"
    form = "hevc" if "265" in path.name else "h264"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-c", "copy"]
    command += ["-bsf:v", f"{convert},filter_units=pass_types={types}", "-f", form, "-"]
    data = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return [part.rstrip(b"\0") for part in data.split(b"\0\0\1")[1:]]


def recorded(source: Path, folder: Path, state: Path, **options: Any) -> list[dict[str, Any]]:
    """What is told of the recordings, 2 s long each, of all that a reader decodes of ``source``; in their order."""
    one = open_output(
        str(folder / "%Y.mp4"),
        camera="gate",
        stats=WatchedStats(),
        publish=OutputEvents(),
        segment_seconds=2,
        signing_key=state / "signing-key.pem",
    )
    never = threading.Event()
    with Camera(str(source), pace="fast", packet_log=PacketLog(), **options) as camera:
        camera.wait_state("finished")
    for frame in camera.slot.frames:
        assert one.put_wait(pictured(frame), cancelled=never)
    assert one.close(WAIT)
    assert verify(folder).faults == []
    told = [read(path.read_bytes()) for path in folder.glob("*.mp4.json")]
    known = [record for record in told if record is not None]
    return sorted(known, key=lambda record: int(record["number"]))


def pictured(frame: Frame) -> Picture:
    rgb = np.asarray(frame.video.to_ndarray(format="rgb24"), np.uint8)
    return Picture(frame=frame, rgb=rgb, translated=False)


@pytest.mark.parametrize(("name", "encoder", "types"), [("264.mp4", X264, "1-5"), ("265.mp4", X265, "0-31")])
def test_records_hold_the_hash_of_the_slices_that_their_pictures_came_from(
    name: str, encoder: tuple[str, ...], types: str, tmp_path: Path, state: Path
) -> None:
    source = clip(tmp_path / name, *encoder)
    slices = slices_by_ffmpeg(source, types)
    assert len(slices) == FRAMES
    records = recorded(source, tmp_path / "out", state)
    assert len(records) >= 3
    at = records[0]["original"]["first"] and [hashlib.sha256(one).hexdigest() for one in slices].index(
        records[0]["original"]["first"]
    )
    # A decoder holds some packets back until its first picture comes out.
    assert at <= 8
    for record in records:
        original = record["original"]
        run = slices[at : at + original["packets"]]
        whole = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in run)).hexdigest()
        assert (original["sha256"], original["complete"]) == (whole, True)
        at += original["packets"]
    assert at == FRAMES  # none is left out between two recordings, nor at the end


def test_a_recorders_copy_in_any_container_is_known_and_an_altered_one_too(
    tmp_path: Path, state: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = clip(tmp_path / "264.mp4", *X264), tmp_path / "out"
    count = len(recorded(source, folder, state))
    for ending in (".ts", ".mkv", ".flv", ".h264", ".mp4"):
        report = verify(folder, originals=[OriginalFile.read(copied(source, ending))])
        assert report.faults == [], ending
        assert sum(" packets in " in note for note in report.notes) == count

    other = clip(tmp_path / "other.mp4", *X264, seed=int(rng.integers(1, 1000)))
    assert verify(folder, originals=[OriginalFile.read(other)]).faults == [
        f"no recording here was made from {other}"
    ]
    altered = tmp_path / "altered.h264"
    data = bytearray((tmp_path / "264-copy.h264").read_bytes())
    data[len(data) // 2] ^= 0x10
    altered.write_bytes(data)
    assert main([str(folder), "--original", str(altered)]) == 1
    out = capsys.readouterr().out
    assert "but what follows there was altered or is missing" in out
    assert out.endswith(f"{count} recordings: 1 fault\n")
    assert main([str(folder), "--original", str(copied(source, ".mkv"))]) == 0
    with pytest.raises(SystemExit):
        main([str(folder), "--original", str(record_path(next(folder.glob("*.mp4"))))])


def test_pictures_that_are_left_out_are_of_the_original_all_the_same(tmp_path: Path, state: Path) -> None:
    source = clip(tmp_path / "264.mp4", *X264)
    with Camera(str(source), pace="fast", packet_log=PacketLog()) as camera:
        camera.wait_state("finished")
    every, some = Original(), Original()
    for number, frame in enumerate(camera.slot.frames):
        every.add(frame.packets)
        if number % 7 == 0 or number == len(camera.slot.frames) - 1:
            some.add(frame.packets)
    assert every.told() == some.told()


def test_jpegs_of_a_camera_are_hashed_as_they_are(tmp_path: Path, state: Path) -> None:
    source = clip(tmp_path / "jpegs.avi", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
    with av.open(str(source)) as container:
        jpegs = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    records = recorded(source, tmp_path / "out", state)
    digests = [hashlib.sha256(one).digest() for one in jpegs]
    assert records[0]["original"]["first"] == digests[0].hex()
    assert sum(record["original"]["packets"] for record in records) == len(jpegs)


def test_without_hashes_a_record_says_nothing_of_an_original_and_the_check_says_so(
    tmp_path: Path, state: Path
) -> None:
    source, folder = clip(tmp_path / "264.mp4", *X264), tmp_path / "out"
    with Camera(str(source), pace="fast") as camera:
        camera.wait_state("finished")
    one = open_output(
        str(folder / "%Y.mp4"),
        camera="gate",
        stats=WatchedStats(),
        publish=OutputEvents(),
        segment_seconds=60,
        signing_key=state / "signing-key.pem",
    )
    for frame in camera.slot.frames:
        assert one.put_wait(pictured(frame), cancelled=threading.Event())
    assert one.close(WAIT)
    (record,) = (read(path.read_bytes()) for path in folder.glob("*.mp4.json"))
    assert record is not None
    assert "original" not in record
    report = verify(folder, originals=[OriginalFile.read(source)])
    assert any("tells nothing of its original" in note for note in report.notes)
    assert verify(folder).faults == []


def test_what_was_forgotten_or_came_from_another_log_makes_it_incomplete() -> None:
    draw = random.Random(5)
    log = PacketLog()
    marks = [log.add(draw.randbytes(32)) for _ in range(KEPT + 100)]
    late = Original(after=marks[0])
    late.add(marks[-1])
    assert late.told() is not None
    assert (late.packets, late.complete) == (1, True)  # nothing was recorded meanwhile: it begins here
    gap = Original()
    gap.add(marks[-1])
    for _ in range(KEPT + 1):
        mark = log.add(draw.randbytes(32))
    gap.add(mark)
    assert (gap.packets, gap.complete) == (1, False)
    anew = Original()
    anew.add(mark)
    anew.add(PacketLog().add(draw.randbytes(32)))
    assert (anew.packets, anew.complete) == (2, False)
    none = Original()
    none.add(PacketMark(log, 0))
    assert none.told() is None
