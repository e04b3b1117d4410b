"""Small clips, made for a test."""

from __future__ import annotations

from pathlib import Path

import av


def make_clip(path: Path, luma: int, *, size: tuple[int, int] = (64, 48), frames: int = 25) -> None:
    """A clip at 25 fps of ``luma`` rising by one a frame, with colour in it, and with a gap in its PTS."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            video = av.VideoFrame(*size, "yuv420p")
            values = (luma + index, 110, 150)
            for number, (plane, value) in enumerate(zip(video.planes, values, strict=True)):
                lower = value if not number else 256 - value  # one tint all over would be no colour
                half = plane.buffer_size // 2
                plane.update(bytes([value]) * half + bytes([lower]) * (plane.buffer_size - half))
            video.pts = index + 5 * (index > 10)
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
