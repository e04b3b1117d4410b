"""The mark that programs read: in every key frame, and still there after ffmpeg has copied the stream."""

from __future__ import annotations

import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import av
import pytest

from nightday.engines.backends.base import EngineInfo
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs.encoding.mark import MARK_ID, marks_in, with_mark
from nightday.pipeline.outputs.encoding.settings import Encoding
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from tests.pipeline.outputs.hls.test_hls_writer import shown
from tests.support.media_helpers import ffmpeg_complaints

MADE_BY = EngineInfo("openvino", "int8", "général.pt", "3f" * 32)
SAID = {
    "program": "nightday-stream",
    "view": "day",
    "generated": True,
    "says": "synthetic day",
    "model": "général.pt",
    "model_digest": "3f" * 32,
    "engine": "openvino int8",
}


def made(number: int, *, generated: bool = True) -> Picture:
    picture = replace(shown(number), translated=generated, made_by=MADE_BY if generated else None)
    return replace(picture, seen=picture.rgb // 2)


def read(path: Path) -> list[tuple[bool, list[dict[str, object]]]]:
    """Of each packet whether it is a key frame, and its marks."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return [(packet.is_keyframe, marks_in(bytes(packet))) for packet in packets]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "flv", "h264"])
def test_every_key_frame_bears_it_after_copies_to_other_containers(tmp_path: Path, ending: str) -> None:
    path, copy, again = tmp_path / "a.mp4", tmp_path / f"copy.{ending}", tmp_path / "again.mp4"
    writer = SegmentWriter(template=str(path))
    for number in range(110):
        writer.write(made(number))
    writer.close()
    for source, target in ((path, copy), (copy, again)):
        command = [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-r",
            "25",
            "-i",
            str(source),
            "-c",
            "copy",
            str(target),
        ]
        subprocess.run(command, check=True, timeout=60)
        assert ffmpeg_complaints(target) == ""
    for file in (path, copy, again):
        packets = read(file)
        marked = [marks for key, marks in packets if marks]
        assert marked == [[SAID]] * 3  # one every two seconds
        assert [bool(marks) for _, marks in packets[:2]] == [True, False]


def test_ffprobe_tells_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    writer = SegmentWriter(template=str(path))
    writer.write(made(0))
    writer.write(made(1))
    writer.close()
    command = ["ffmpeg", "-nostdin", "-v", "info", "-i", str(path), "-vf", "showinfo", "-f", "null", "-"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr
    assert f"UUID={MARK_ID}" in told
    assert uuid.UUID("f107f2b3-cded-4d0c-8b60-5284bc888de2") == MARK_ID  # documented


def test_what_it_tells_changes_at_a_key_frame_as_soon_as_the_pictures_do() -> None:
    shared, seen = SharedEncoder(), list[tuple[bool, list[dict[str, object]]]]()
    for number in range(30):
        encoded = shared.encode(made(number, generated=10 <= number < 20), key=False)
        assert encoded is not None
        seen.append((encoded.key, marks_in(encoded.data)))
    assert [number for number, (_, marks) in enumerate(seen) if marks] == [0, 10, 20]
    plain = {"program": "nightday-stream", "view": "day", "generated": False}
    assert [seen[number] for number in (0, 10, 20)] == [(True, [plain]), (True, [SAID]), (True, [plain])]


def test_the_night_is_not_generated_and_a_pair_is() -> None:
    for view, generated in (("night", False), ("pair", True)):
        encoded = SharedEncoder(encoding=Encoding(view=view)).encode(made(0), key=True)  # type: ignore[arg-type]
        assert encoded is not None
        (mark,) = marks_in(encoded.data)
        assert (mark["view"], mark["generated"], "model" in mark) == (view, generated, generated)


def test_a_long_mark_and_data_without_a_picture() -> None:
    picture = b"\0\0\0\1\x67sps\0\0\1\x65slice"
    text = '{"model": "' + "x" * 600 + '"}'
    marked = with_mark(picture, text)
    assert marked.startswith(b"\0\0\0\1\x67sps\0\0\0\1\x06\x05\xff\xff")
    assert marked.endswith(b"\x80\0\0\1\x65slice")
    assert marks_in(marked) == [{"model": "x" * 600}]
    assert with_mark(b"\0\0\0\1\x67sps", text) == b"\0\0\0\1\x67sps"
    assert marks_in(MARK_ID.bytes + b"no JSON\x80") == marks_in(MARK_ID.bytes) == []
