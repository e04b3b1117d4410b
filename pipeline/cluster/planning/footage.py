"""A night and a day as a camera of some size would send them, made of bundled clips: what costs are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from nightday.engines.bundled import bundled_clips

from ...core.backgrounds import Backgrounds
from ...media.colour import to_rgb

# Real streets with traffic, and frames of them that are used.
NIGHT, DAY = "night_tfl_07450_piccadilly.mp4", "day_tfl_09731_a1_barnet.mp4"
FRAMES = 50
RATE = 25
# Standard deviation of the noise that a sensor of the larger size would add, levels.
NOISE = 2.0
# Cameras limit their streams to about so many bits for each pixel, and send a key frame every two seconds.
BITS_PER_PIXEL = 0.08
# The stand-in for a day, for want of one of the same place: its night so many times as bright.
DAY_GAIN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Some seconds of a camera of some size.

    Attributes:
        size: height and width.
        path: an MP4 of it.
        video: its frames, decoded.
        backgrounds: what its engine is given for its scene, read-only.
        still: its scene without what moves, as planes of YUV 4:2:0, (3 · height / 2, width) uint8.
    """

    size: tuple[int, int]
    path: Path
    video: tuple[av.VideoFrame, ...]
    backgrounds: Backgrounds

    still: NDArray[np.uint8]

    def quiet(self, count: int) -> list[av.VideoFrame]:
        """Frames on which nothing moves: the scene and its noise."""
        rng = np.random.default_rng(1)
        made = []
        for _ in range(count):
            planes = self.still.astype(np.int16)
            planes[: self.size[0]] += np.rint(rng.normal(0, NOISE, self.size)).astype(np.int16)
            made.append(_frame_of(planes))
        return made

    @property
    def pixels(self) -> int:
        """Pixels of a picture."""
        return self.size[0] * self.size[1]


def make_footage(size: tuple[int, int], folder: Path, *, clip: str = NIGHT, frames: int = FRAMES) -> Footage:
    """A bundled clip at (height, width) ``size``, in ``folder``."""
    height, width = size
    rng = np.random.default_rng(0)
    pictures = []
    with av.open(str(bundled_clips() / clip)) as source:
        for frame in source.decode(video=0):
            rgb = frame.to_ndarray(format="rgb24")
            if rgb.shape[:2] != size:
                smaller = height * width < rgb.shape[0] * rgb.shape[1]
                rgb = cv2.resize(
                    rgb, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
                )
                if not smaller:
                    noise = np.rint(rng.normal(0, NOISE, size)).astype(np.int16)[..., None]
                    rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
            pictures.append(rgb)
            if len(pictures) == frames:
                break
    path = folder / f"{Path(clip).stem}-{width}x{height}.mp4"
    _encode(pictures, path)
    with av.open(str(path)) as made:
        video = tuple(made.decode(video=0))
    still = _median([frame.to_ndarray(format="yuv420p") for frame in video])
    by_night = np.array(to_rgb(_frame_of(still), VideoReformatter()))
    by_day = np.clip(by_night.astype(np.int16) * DAY_GAIN, 0, 255).astype(np.uint8)
    for picture in (by_day, by_night):
        picture.setflags(write=False)
    return Footage(size, path, video, Backgrounds(day=by_day, night=by_night), still)


def _frame_of(planes: NDArray[np.uint8] | NDArray[np.int16]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.clip(planes, 0, 255).astype(np.uint8), format="yuv420p")


def _encode(pictures: list[NDArray[np.uint8]], path: Path) -> None:
    height, width = pictures[0].shape[:2]
    bits = str(max(100_000, round(BITS_PER_PIXEL * width * height * RATE)))
    options = {"preset": "veryfast", "g": str(2 * RATE), "bf": "0", "maxrate": bits, "bufsize": bits}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _median(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    some = np.stack(pictures[:: max(1, len(pictures) // 9)])
    median: NDArray[np.uint8] = np.empty_like(some[0])
    for top in range(0, len(median), 64):
        median[top : top + 64] = np.median(some[:, top : top + 64], axis=0)
    return median
