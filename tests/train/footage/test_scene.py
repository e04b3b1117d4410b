"""Reading a scene: what memory it takes, what is passed over, and what is said of files that cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.train.footage.checks import check_scene
from nightday.train.footage.files import footage_files
from nightday.train.footage.scene import (
    SceneError,
    clip_median,
    load_day,
    load_scene,
    read_frames,
    spread,
    temporal_median,
    write_picture,
)

Image = NDArray[np.uint8]

# Memory before, the highest so far after, and the bytes that were kept.
MEASURED = r"""
import re, sys
from pathlib import Path
from nightday.train.footage.scene import load_scene
def memory(name):
    return int(re.search(name + r":\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
load_scene(Path(sys.argv[1]) / "warm")
before = memory("VmRSS")
scene = load_scene(Path(sys.argv[1]) / "long", max_frames=int(sys.argv[2]))
print(before, memory("VmHWM"), sum(frame.nbytes for frame in scene.day + scene.night), len(scene.day))
"""


def picture(level: int, *, height: int = 32, width: int = 48) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def level(image: Image) -> int:
    return int(np.median(image))


def write_clip(path: Path, frames: list[Image], *, codec: str = "mpeg4") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


def fill(scene: Path, *, day: int = 6, night: int = 4) -> None:
    """Pictures of level 10, 20, … by day and 1, 2, … by night."""
    for n in range(1, day + 1):
        write_picture(scene / "day" / f"{n:02d}.png", picture(10 * n))
    for n in range(1, night + 1):
        write_picture(scene / "night" / f"{n:02d}.png", picture(n))


@pytest.mark.alone
def test_memory_holds_what_is_kept_and_hardly_more(tmp_path: Path) -> None:
    """Of 1500 frames, 300 are kept. All of them at once would be five times as much."""
    frames = [picture(10 * n, height=240, width=320) for n in range(25)]
    short = tmp_path / "warm" / "day" / "a.mp4"
    write_clip(short, frames)
    (tmp_path / "long" / "day").mkdir(parents=True)
    for name, times in (("a.mp4", 40), ("b.mkv", 20)):
        repeat = ["ffmpeg", "-v", "error", "-stream_loop", f"{times - 1}", "-i", str(short), "-c", "copy"]
        subprocess.run([*repeat, str(tmp_path / "long" / "day" / name)], check=True)
    for scene in ("long", "warm"):
        write_picture(tmp_path / scene / "night" / "a.png", frames[20])
    command = [sys.executable, "-c", MEASURED, str(tmp_path), "300"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, peak, kept, count = map(int, said.split())
    assert count == 300
    assert kept == 301 * 240 * 320 * 3
    assert peak - before < 1.2 * kept


def test_a_long_scene_is_sampled_as_a_list_of_all_its_frames(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    frames: list[Image] = []
    for n, count in enumerate(rng.integers(1, 40, 3).tolist()):
        path = tmp_path / "day" / f"{n}.avi"
        write_clip(path, [picture(int(rng.integers(256))) for _ in range(count)], codec="ffv1")
        frames += read_frames(path)
        write_picture(path.with_suffix(".png"), picture(n))
        frames.append(picture(n))
    write_picture(tmp_path / "night" / "a.png", picture(9))
    most = int(rng.integers(1, len(frames) + 5))
    scene = load_scene(tmp_path, max_frames=most)
    for got, wanted in zip(scene.day, spread(frames, most), strict=True):
        np.testing.assert_array_equal(got, wanted)
    other = load_day(tmp_path / "day" / "0.avi", max_frames=2)
    assert len(other.day) == min(2, len(read_frames(tmp_path / "day" / "0.avi")))


def test_the_median_by_bands_is_the_median(rng: np.random.Generator) -> None:
    for count in (1, 2, 7, 100):
        frames = [rng.integers(0, 256, (97, 120, 3), dtype=np.uint8) for _ in range(count)]
        wanted = np.rint(np.median(np.stack(frames), axis=0))
        np.testing.assert_array_equal(temporal_median(frames), wanted)


def test_the_median_of_a_clip_is_that_of_all_its_frames(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    write_clip(path, [picture(int(rng.integers(256))) for _ in range(150)], codec="ffv1")
    np.testing.assert_array_equal(clip_median(path), temporal_median(read_frames(path)))


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    fill(tmp_path)
    day = tmp_path / "day"
    for name in (
        "._01.png",
        ".02.png",
        ".thumbnails/a.png",
        "@eaDir/01.png",
        "#recycle/b.jpg",
        "__MACOSX/c.png",
    ):
        (day / name).parent.mkdir(exist_ok=True)
        (day / name).write_bytes(b"\x00\x05\x16\x07 Mac OS X")
    (day / "Thumbs.db").write_bytes(b"x")
    scene = load_scene(tmp_path)
    assert [level(image) for image in scene.day] == [10, 20, 30, 40, 50, 60]
    assert scene.left_out == []


class TestFoldersOfDays:
    def test_in_day_and_night(self, tmp_path: Path) -> None:
        for n, name in enumerate(
            ("2026-01-02/09/a.jpg", "2026-01-02/10/a.png", "2026-01-03/a.png", "b.png"), 1
        ):
            write_picture(tmp_path / "day" / name, picture(10 * n))
        write_picture(tmp_path / "night" / "2026-01-02" / "a.png", picture(5))
        scene = load_scene(tmp_path)
        assert [level(image) for image in scene.day] == [10, 20, 30, 40]
        assert [level(image) for image in scene.night] == [5]

    def test_with_day_and_night_in_them(self, tmp_path: Path) -> None:
        fill(tmp_path / "2026-01-02", day=2, night=1)
        fill(tmp_path / "20260103", day=1, night=1)
        fill(tmp_path / "before", day=5)  # of an earlier view
        scene = load_scene(tmp_path)
        assert [level(image) for image in scene.day] == [10, 20, 10]
        assert len(scene.night) == 2
        assert len(load_day(tmp_path).day) == 3

    def test_a_link_to_itself_ends(self, tmp_path: Path) -> None:
        fill(tmp_path / "far")
        (tmp_path / "day").mkdir()
        os.symlink(tmp_path / "far" / "day", tmp_path / "day" / "far")
        os.symlink(tmp_path / "day", tmp_path / "day" / "again")
        assert [path.name for path in footage_files(tmp_path / "day")] == [
            f"{n:02d}.png" for n in range(1, 7)
        ]


class TestFilesOfOtherKinds:
    """They are not read, and that is told in one line."""

    def test_beside_good_files(self, tmp_path: Path) -> None:
        fill(tmp_path)
        for name in ("day/a.HEIC", "day/more/b.heic", "night/c.zip", "night/d.gif", "night/e"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"any")
        for name in ("day/01.txt", "night/list.json", "day/.hidden.heic", "night/Thumbs.db"):
            (tmp_path / name).write_bytes(b"any")
        scene = load_scene(tmp_path)
        assert scene.left_out == []
        (line,) = scene.passed_over
        assert line.startswith("5 files are passed over (2 .heic, 1 ")
        assert "1 .zip" in line
        assert "1 without an ending" in line
        assert ".jpg" in line
        assert line in [finding.text for finding in check_scene(scene, learns_nights=True)]
        assert load_day(tmp_path).passed_over[0].startswith("2 files are passed over (2 .heic): ")

    def test_alone(self, tmp_path: Path) -> None:
        fill(tmp_path)
        for path in (tmp_path / "day").iterdir():
            path.rename(path.with_suffix(".heic"))
        with pytest.raises(
            SceneError, match=r"holds no picture or clip; 6 files are passed over \(6 \.heic\)"
        ):
            load_scene(tmp_path)

    def test_nothing_is_said_of_labels(self, tmp_path: Path) -> None:
        fill(tmp_path)
        (tmp_path / "day" / "01.txt").write_text("0 0.5 0.5 0.1 0.1")
        assert load_scene(tmp_path).passed_over == []


class TestFilesThatCannotBeRead:
    """They are left out and told; the others are trained on."""

    def test_an_empty_picture(self, tmp_path: Path) -> None:
        fill(tmp_path)
        (tmp_path / "day" / "03.png").write_bytes(b"")
        scene = load_scene(tmp_path)
        assert [level(image) for image in scene.day] == [10, 20, 40, 50, 60]
        assert scene.left_out == [
            f"{tmp_path / 'day' / '03.png'}: is empty (0 bytes); delete it, or save it again"
        ]
        (finding, *_) = check_scene(scene, learns_nights=True)
        assert (finding.refuse, finding.text) == (False, scene.left_out[0])

    @pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n torn"])
    def test_a_broken_picture(self, content: bytes, tmp_path: Path) -> None:
        fill(tmp_path)
        (tmp_path / "night" / "02.png").write_bytes(content)
        scene = load_scene(tmp_path)
        assert [level(image) for image in scene.night] == [1, 3, 4]
        assert [text.split(";")[0] for text in scene.left_out] == [
            f"{tmp_path / 'night' / '02.png'}: cannot be read as a picture"
        ]

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        fill(tmp_path)
        os.mkfifo(tmp_path / "day" / "a.png")
        os.symlink("nowhere.jpg", tmp_path / "day" / "b.jpg")
        scene = load_scene(tmp_path)
        assert len(scene.day) == 6
        assert all("is no file" in text for text in scene.left_out)
        assert len(scene.left_out) == 2

    def test_clips(self, tmp_path: Path) -> None:
        fill(tmp_path)
        write_clip(tmp_path / "day" / "whole.mkv", [picture(n) for n in range(50)])
        whole = (tmp_path / "day" / "whole.mkv").read_bytes()
        (tmp_path / "day" / "torn.mkv").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "day" / "no.mp4").write_bytes(b"no clip")
        (tmp_path / "day" / "empty.mp4").write_bytes(b"")
        scene = load_scene(tmp_path)
        assert 56 < len(scene.day) < 106
        told = "\n".join(scene.left_out)
        assert "no.mp4: cannot be read as a clip (InvalidDataError); delete it" in told
        assert "empty.mp4: is empty (0 bytes)" in told
        assert "whole.mkv" not in told

    def test_nothing_that_can_be_read_is_refused(self, tmp_path: Path) -> None:
        fill(tmp_path)
        for path in (tmp_path / "night").iterdir():
            path.write_bytes(b"")
        with pytest.raises(SceneError) as refused:
            load_scene(tmp_path)
        said = str(refused.value)
        assert said.startswith(f"{tmp_path / 'night'}: none of its 4 files can be read; the first: ")
        assert said.endswith("01.png: is empty (0 bytes); delete it, or save it again")

    def test_the_background_is_asked_for(self, tmp_path: Path) -> None:
        fill(tmp_path)
        (tmp_path / "background.png").write_bytes(b"")
        with pytest.raises(
            SceneError, match=r"background\.png: cannot be read .*the median of the day is taken"
        ):
            load_scene(tmp_path)

    def test_many_are_told_in_one_line(self, tmp_path: Path) -> None:
        fill(tmp_path)
        for n in range(20):
            (tmp_path / "day" / f"x{n:02d}.png").write_bytes(b"")
        (finding, *_) = check_scene(load_scene(tmp_path), learns_nights=True)
        assert finding.text.endswith("x02.png: is empty (0 bytes); delete it, or save it again; and 17 more")
