"""A clip that flashes and beeps at each full second, on patches of colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.clips import ffmpeg
from tests.support.colour_patches import COLUMNS, ROWS, coded, patches, planes_at_centres

WIDTH, HEIGHT, FPS = 320, 240, 25
# The mean of Y from which a picture is a flash.
WHITE = 220


@dataclass(frozen=True, slots=True)
class Clip:
    """The clip's file, and the levels that it shows where it does not flash.

    Attributes:
        path: an MP4 of H.264 and AAC, tagged BT.709.
        levels: Y, Cb and Cr in the middle of each patch, each (ROWS, COLUMNS), as they are decoded.
    """

    path: Path
    levels: NDArray[np.float64]


def make_clip(path: Path, *, seconds: int, rng: np.random.Generator) -> Clip:
    """A clip so long, of random colours."""
    raw = path.with_suffix(".yuv")
    # Away from white, so that no patch looks like a flash.
    rgb = rng.uniform(0, 200, (ROWS, COLUMNS, 3))
    video = patches(coded(rgb, 1, full=False), HEIGHT, WIDTH, "yuv420p")
    raw.write_bytes(video.to_ndarray().tobytes())
    flash = f"drawbox=w={WIDTH}:h={HEIGHT}:t=fill:color=white:enable='lt(mod(t,1),0.039)'"
    beep = f"aevalsrc='if(lt(mod(t,1),0.04),0.8*sin(6283*t),0)':s=48000:d={seconds}"
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", raw),
        *("-f", "lavfi", "-i", beep, "-vf", f"loop=loop=-1:size=1,{flash}", "-t", str(seconds)),
        *("-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-bf", "0", "-g", "50", "-c:a", "aac"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
        path,
    )
    with av.open(str(path)) as container:
        _, second = (next(container.decode(video=0)) for _ in range(2))
        return Clip(path, np.stack(planes_at_centres(second)))
