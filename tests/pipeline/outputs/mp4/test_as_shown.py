"""A file is shown as wide and in the colours of the camera's own pictures."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from nightday.engines.video.look import Look
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from tests.support.media_helpers import ffprobe, picture


@pytest.mark.parametrize(("quarters", "shown"), [(0, "16:11"), (1, "11:16"), (2, "16:11")])
@pytest.mark.parametrize("full", [False, True])
def test_ffprobe_finds_aspect_range_and_matrix(tmp_path: Path, quarters: int, shown: str, full: bool) -> None:
    video = av.VideoFrame(352, 288, "yuv420p")
    video.opaque = Look(quarters=quarters, pixel_aspect=Fraction(16, 11))
    video.color_range = 2 if full else 1
    rgb = np.full((352, 288, 3) if quarters % 2 else (288, 352, 3), 90, np.uint8)
    writer = SegmentWriter(template=str(tmp_path / "c.mp4"))
    for number in range(3):
        one = picture(number * 512, rgb=rgb)
        writer.write(dataclasses.replace(one, frame=dataclasses.replace(one.frame, video=video)))
    writer.close()
    (stream,) = ffprobe(tmp_path / "c.mp4", "stream=sample_aspect_ratio,color_range,color_space")["streams"]
    assert stream["sample_aspect_ratio"] == shown
    assert (stream["color_range"], stream["color_space"]) == ("pc" if full else "tv", "smpte170m")
