"""Decoded frames as RGB on the host."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from nightday.engines.video import colour
from nightday.engines.video.look import upright


def to_rgb(video: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Colour of a decoded frame, upright, as a contiguous uint8 array (H, W, 3) of its own.

    ``reformatter`` keeps the conversion's set-up from frame to frame; each thread needs its own.
    """
    stored = colour.to_rgb(video, reformatter)
    rgb = upright(stored, video)
    if rgb is stored and video.format.name == "rgb24":  # the decoder's own memory, where marks would be drawn
        copied: NDArray[np.uint8] = rgb.copy()
        return copied
    contiguous: NDArray[np.uint8] = np.ascontiguousarray(rgb)
    return contiguous
