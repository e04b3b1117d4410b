"""Small clips, made by PyAV, or by Debian's ffmpeg: rotated, interlaced, with wide pixels, with a cover picture."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import av
import numpy as np

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-pix_fmt", "yuv420p")


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


def ffmpeg(*words: str | Path) -> None:
    """Run ffmpeg, which must succeed."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, words)]
    subprocess.run(command, check=True, timeout=60)


def made(suffix: str, *words: str) -> bytes:
    """What ffmpeg writes into a file whose name ends so."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"made{suffix}")
        ffmpeg(*words, path)
        return path.read_bytes()


def pattern(
    path: Path, *, size: str = "96x64", rate: int = 10, frames: int = 4, filters: str = "null"
) -> Path:
    """A test pattern that has no symmetry; a process makes each once."""
    path.write_bytes(_pattern(path.suffix, size, rate, frames, filters))
    return path


@cache
def _pattern(suffix: str, size: str, rate: int, frames: int, filters: str) -> bytes:
    source = f"testsrc2=size={size}:rate={rate}"
    return made(suffix, "-f", "lavfi", "-i", source, "-vf", filters, "-frames:v", str(frames), *H264)


def shown_by_ffmpeg(path: Path) -> np.ndarray:
    """The first picture as ffmpeg shows it, turned upright: uint8 RGB (H, W, 3)."""
    out = path.with_suffix(".shown.png")
    ffmpeg("-i", path, "-frames:v", "1", "-vf", "scale=in_color_matrix=bt601", "-pix_fmt", "rgb24", out)
    with av.open(str(out)) as picture:
        shown: np.ndarray = next(picture.decode(video=0)).to_ndarray(format="rgb24")
        return shown


def turned(source: Path, path: Path, degrees: int, *, hflip: bool = False, vflip: bool = False) -> Path:
    """A copy of a clip whose container has it turned counter-clockwise, and mirrored after that."""
    with av.open(str(source)) as clip, av.open(str(path), "w") as copy:
        stream = clip.streams.video[0]
        out = copy.add_stream_from_template(stream)
        out.set_display_rotation(degrees, hflip=hflip, vflip=vflip)
        for packet in clip.demux(stream):
            if packet.dts is not None:
                packet.stream = out
                copy.mux(packet)
    return path
