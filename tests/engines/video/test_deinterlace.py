"""Interlaced video becomes whole pictures at the same PTS; other video stays as it is."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from nightday.engines.video.deinterlace import Deinterlacer
from tests.support.clips import H264, ffmpeg, pattern


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as clip:
        return list(clip.decode(video=0))


def whole(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
    fields = Deinterlacer()
    return [video for frame in frames for video in fields.frames(frame)] + list(fields.rest())


def interlaced(path: Path) -> Path:
    """A bar that moves 6 pixels from field to field, in two fields a frame."""
    source = "color=gray:size=128x96:rate=50,drawbox=x=0:y=0:w=1:h=1,format=yuv420p"
    moving = f"{source},geq=lum='if(between(X,6*N,6*N+20),235,60)':cb=128:cr=128"
    ffmpeg(
        *("-f", "lavfi", "-i", moving, "-vf", "tinterlace=interleave_top", "-frames:v", "8"),
        *(*H264, "-flags", "+ilme+ildct", "-x264-params", "tff=1", path),
    )
    return path


def combing(video: av.VideoFrame) -> float:
    """How much neighbouring rows differ."""
    grey = video.to_ndarray(format="gray").astype(float)
    return float(np.abs(np.diff(grey, axis=0)).mean())


def test_moving_things_have_no_combs_and_pts_stay(tmp_path: Path) -> None:
    before = decoded(interlaced(tmp_path / "fields.mp4"))
    assert all(video.interlaced_frame for video in before)
    for video in before:
        video.opaque = ["look"]
    after = whole(before)
    assert [video.pts for video in after] == [video.pts for video in before]
    assert [video.time_base for video in after] == [video.time_base for video in before]
    assert [video.opaque for video in after] == [["look"]] * len(before)
    assert not any(video.interlaced_frame for video in after)
    # bwdif has no field before the first frame, nor one after the last.
    middle = slice(1, -1)
    worst = max(combing(video) for video in after[middle])
    assert worst < min(combing(video) for video in before[middle]) / 4


def test_a_change_of_size_loses_no_frame(tmp_path: Path) -> None:
    before = decoded(interlaced(tmp_path / "one.mp4"))
    ffmpeg(
        "-i",
        tmp_path / "one.mp4",
        "-vf",
        "scale=64x48:interl=1",
        *H264,
        "-flags",
        "+ilme+ildct",
        tmp_path / "b.mp4",
    )
    before += decoded(tmp_path / "b.mp4")
    after = whole(before)
    assert [(video.width, video.pts) for video in after] == [(video.width, video.pts) for video in before]


def test_progressive_frames_go_through_untouched_and_at_once(tmp_path: Path) -> None:
    fields = Deinterlacer()
    for video in decoded(pattern(tmp_path / "plain.mp4")):
        assert [one is video for one in fields.frames(video)] == [True]
    assert not fields.active


def test_progressive_frames_between_interlaced_ones_keep_their_pixels(tmp_path: Path) -> None:
    plain = decoded(pattern(tmp_path / "plain.mp4", size="128x96"))
    mixed = [*decoded(interlaced(tmp_path / "fields.mp4"))[:2], *plain]
    after = whole(mixed)
    assert len(after) == len(mixed)
    for one, same in zip(after[3:], plain[1:], strict=True):
        assert np.array_equal(one.to_ndarray(), same.to_ndarray())
