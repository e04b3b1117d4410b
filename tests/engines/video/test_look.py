"""Pictures are upright, as ffmpeg shows them, and pixels as wide as the stream says."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from nightday.engines.video.look import LookReader, aspect_of, size_of, upright
from nightday.engines.video.streams import best_video, rgb_pictures
from tests.support.clips import H264, ffmpeg, pattern, shown_by_ffmpeg, turned

# swscale's conversion here and ffmpeg's own differ by rounding; another orientation by far more.
ROUNDING = 4


def first(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as clip:
        stream = best_video(clip)
        video: av.VideoFrame = next(clip.decode(stream))
        LookReader(stream).give(video)
        return video


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_all_eight_orientations_are_shown_as_ffmpeg_shows_them(
    tmp_path: Path, degrees: int, hflip: bool
) -> None:
    path = turned(pattern(tmp_path / "plain.mp4"), tmp_path / "turned.mp4", degrees, hflip=hflip)
    wanted = shown_by_ffmpeg(path)
    with av.open(str(path)) as clip:
        pictures = list(rgb_pictures(clip))
    assert len(pictures) == 4
    assert mean_difference(pictures[0], wanted) < ROUNDING
    assert size_of(first(path)) == wanted.shape[:2]


def test_a_tensor_is_turned_like_an_array(tmp_path: Path) -> None:
    video = first(turned(pattern(tmp_path / "plain.mp4"), tmp_path / "turned.mp4", 90, vflip=True))
    stored = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    array, tensor = upright(stored, video), upright(torch.from_numpy(stored), video)
    assert array.shape == (96, 64, 3)
    assert array.flags.c_contiguous
    assert tensor.is_contiguous()
    assert np.array_equal(array, tensor.numpy())


def test_a_matrix_in_the_stream_holds_until_the_next_key_frame(tmp_path: Path) -> None:
    """H.264 has it beside key frames alone, and FFmpeg hands it out with these alone."""
    pattern(tmp_path / "plain.mp4", frames=6)
    orientation = "h264_metadata=display_orientation=insert:rotate=90"
    ffmpeg("-i", tmp_path / "plain.mp4", "-c", "copy", "-bsf:v", orientation, tmp_path / "sei.mp4")
    with av.open(str(tmp_path / "sei.mp4")) as clip:
        shapes = [picture.shape for picture in rgb_pictures(clip)]
    assert shapes == [(96, 64, 3)] * 6


@pytest.mark.parametrize("form", ["mp4", "mkv", "ts"])
def test_pixels_are_as_wide_as_the_stream_says(tmp_path: Path, form: str) -> None:
    path = pattern(tmp_path / f"wide.{form}", size="352x288", filters="setsar=16/11")
    video = first(path)
    assert aspect_of(video) == Fraction(16, 11)
    assert size_of(video) == (288, 352)
    if form == "mp4":
        assert aspect_of(first(turned(path, tmp_path / "turned.mp4", 90))) == Fraction(11, 16)


def test_an_aspect_that_changes_in_mid_stream_is_followed(tmp_path: Path) -> None:
    parts = [
        pattern(tmp_path / f"{n}.ts", size="352x288", filters=f"setsar={sar}")
        for n, sar in enumerate(("16/11", "12/11"))
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(joined)) as clip:
        looks = LookReader(stream := best_video(clip))
        aspects = [looks.give(video).pixel_aspect for video in clip.decode(stream)]
    assert aspects == [Fraction(16, 11)] * 4 + [Fraction(12, 11)] * 4


def test_what_the_container_says_comes_before_what_the_stream_says(tmp_path: Path) -> None:
    pattern(tmp_path / "coded.mp4", size="352x288", filters="setsar=12/11")
    ffmpeg("-i", tmp_path / "coded.mp4", "-c", "copy", "-aspect", "16:9", tmp_path / "boxed.mkv")
    assert aspect_of(first(tmp_path / "boxed.mkv")) == Fraction(16, 11)


def test_nonsense_is_not_believed(tmp_path: Path) -> None:
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10", "-vf", "setsar=1/200", "-frames:v", "2"),
        *(*H264, tmp_path / "thin.ts"),
    )
    assert aspect_of(first(tmp_path / "thin.ts")) == 1


def test_looking_at_a_frame_keeps_none_of_its_memory(tmp_path: Path) -> None:
    """With PyAV 18.1, ``frame.side_data`` would keep each until the garbage collector comes by."""
    gc.collect()
    before = {id(thing) for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)}
    gc.disable()
    try:
        with av.open(str(pattern(tmp_path / "plain.mp4"))) as clip:
            looks = LookReader(best_video(clip))
            for video in clip.decode(best_video(clip)):
                looks.give(video)
            del video
        left = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
        # The decoder has an empty one for the next picture.
        assert [thing for thing in left if id(thing) not in before and thing.width] == []
    finally:
        gc.enable()
