"""Ten bits in eight: within a dither of a quarter of each level, against whole numbers, whatever the tags."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from nightday.engines.video.colour import eight_bits

ROWS, COLUMNS = 96, 128


@pytest.mark.parametrize(
    "tags", [(2, 2, 2), (1, 1, 1), (4, 4, 4), (5, 5, 6), (9, 9, 14), (9, 9, 16), (1, 1, 8)]
)
def test_levels_are_a_quarter_of_what_they_were(rng: np.random.Generator, tags: tuple[int, int, int]) -> None:
    video, levels = av.VideoFrame(COLUMNS, ROWS, "yuv420p10le"), []
    for plane in video.planes:
        rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
        rows[:, : plane.width] = rng.integers(64, 941, (plane.height, plane.width))
        levels.append(rows[:, : plane.width].ravel().astype(float))
        plane.update(rows.tobytes())
    video.colorspace, video.color_primaries, video.color_trc = tags
    video.color_range = 1
    got = eight_bits(video, VideoReformatter())
    assert got is not None
    away = got.ravel() - np.concatenate(levels) / 4
    assert np.abs(away).max() <= 0.75
    assert abs(away.mean()) < 0.02
