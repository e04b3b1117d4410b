"""Clips of a scene are read as they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nightday.engines.model.qualification_frames import read_frames as read_for_engines
from nightday.train.footage.scene import SceneError, load_scene, read_frames
from tests.support.clips import ffmpeg, pattern, shown_by_ffmpeg, turned


def test_a_turned_clip_with_a_cover_is_read_upright_without_its_cover(tmp_path: Path) -> None:
    plain = pattern(tmp_path / "plain.mp4")
    upside, cover = tmp_path / "turned.mp4", tmp_path / "cover.png"
    wanted = shown_by_ffmpeg(turned(plain, upside, 270))
    ffmpeg("-f", "lavfi", "-i", "color=red:size=600x600", "-frames:v", "1", cover)
    for part in ("day", "night"):
        clip = tmp_path / "scene" / part / "clip.mp4"
        clip.parent.mkdir(parents=True)
        words = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic")
        ffmpeg("-i", cover, "-i", upside, *words, clip)
    scene = load_scene(tmp_path / "scene")
    assert [frame.shape for frame in scene.day + scene.night] == [(96, 64, 3)] * 8
    assert np.abs(scene.day[0].astype(int) - wanted.astype(int)).mean() < 4
    for frame, same in zip(read_for_engines(clip, 4), scene.night, strict=True):
        assert np.array_equal(frame, same)


def test_a_cover_alone_is_refused_in_one_line_that_names_the_file(tmp_path: Path) -> None:
    cover, music = tmp_path / "cover.png", tmp_path / "music.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=60x60", "-frames:v", "1", cover)
    sound = ("-f", "lavfi", "-t", "0.2", "-i", "anullsrc")
    words = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-i", cover, *sound, *words, music)
    with pytest.raises(
        SceneError, match=r"music\.mp4: cannot be read as a clip: .* but a cover picture; delete it"
    ):
        read_frames(music)
    with pytest.raises(ValueError, match="but a cover picture"):
        read_for_engines(music)


def test_untagged_hd_is_read_by_bt_709(tmp_path: Path) -> None:
    """A green that BT.601 and BT.709 code differently: Y'CbCr by BT.709, which is not named."""
    path = tmp_path / "hd.mp4"
    colour = "color=0x20a040:size=64x720:rate=5,format=gbrp,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    ffmpeg(
        *("-f", "lavfi", "-i", colour, "-frames:v", "1", "-c:v", "libx264", "-qp", "2"),
        *(
            "-bsf:v",
            "h264_metadata=matrix_coefficients=2:colour_primaries=2:transfer_characteristics=2",
            path,
        ),
    )
    (frame,) = read_frames(path)
    assert np.abs(frame[360, 32].astype(int) - [0x20, 0xA0, 0x40]).max() <= 3
