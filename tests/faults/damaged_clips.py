"""Small clips as cameras of different kinds send them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SMALL, LARGE = (96, 64), (160, 96)
OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=error:keyint=25"},
    "mjpeg": {"huffman": "default"},  # RTP does not carry other tables
}


def clip(
    path: Path,
    *,
    size: tuple[int, int] = SMALL,
    codec: str = "libx264",
    rate: int = 25,
    luma: int = 60,
    frames: int = 50,
    form: str | None = None,
    moving: bool = False,
) -> Path:
    """A clip with a key frame a second: of one grey ``luma``, or of a texture about as bright that moves."""
    texture = np.random.default_rng(1).integers(-20, 21, size[::-1]) if moving else np.zeros(size[::-1], int)
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, options=OPTIONS[codec])
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = rate
        for index in range(frames):
            picture = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            picture[: size[1]] = luma + np.roll(texture, 2 * index, axis=1)
            video = av.VideoFrame.from_ndarray(picture, format=stream.pix_fmt)
            video.pts, video.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
    return path
