"""Decoded frames as RGB on the host."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray


def to_rgb(video: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Colour of a decoded frame as a contiguous uint8 array (H, W, 3) of its own, by the frame's own matrix.

    ``reformatter`` keeps the conversion's set-up from frame to frame; each thread needs its own.
    """
    converted = reformatter.reformat(video, format="rgb24", threads=1)
    rgb = np.asarray(converted.to_ndarray(), np.uint8)
    if converted is video:  # the array would share the decoder's memory, and marks would be drawn into that
        copied: NDArray[np.uint8] = rgb.copy()
        return copied
    contiguous: NDArray[np.uint8] = np.ascontiguousarray(rgb)
    return contiguous
