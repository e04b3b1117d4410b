"""From decoded frames to day pictures, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Translate = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""What an engine does: uint8 RGB (N, H, W, 3) to the same shape."""


def to_rgb(video: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Colour of a decoded frame as a contiguous uint8 array (H, W, 3) of its own, by the frame's own matrix.

    ``reformatter`` keeps the conversion's set-up from frame to frame; each thread needs its own.
    """
    converted = reformatter.reformat(video, format="rgb24", threads=1)
    rgb = np.asarray(converted.to_ndarray(), np.uint8)
    if converted is video:
        return rgb.copy()  # else it would share the decoder's memory, and marks would be drawn into that
    return np.ascontiguousarray(rgb)


def translate(
    engine: Translate, pictures: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.uint8] | Exception]:
    """Translate pictures of one size (H, W, 3); in place of each result that failed stands the error.

    When the engine fails on a batch, its frames are tried again one at a time, so that only those at fault
    are lost.
    """
    try:
        return list(_run(engine, pictures))
    except Exception as error:
        if len(pictures) == 1:
            return [error]
    return [result for picture in pictures for result in translate(engine, [picture])]


def call(engine: Translate, batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``engine(batch)``; ValueError unless that has the batch's shape and type."""
    result = engine(batch)
    if result.shape != batch.shape or result.dtype != np.uint8:
        raise ValueError(f"the engine made {result.dtype} {result.shape} of uint8 {batch.shape}")
    return result


def _run(engine: Translate, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    batch = pictures[0][np.newaxis] if len(pictures) == 1 else np.stack(pictures)
    result = call(engine, batch)
    return result if result.flags.writeable else result.copy()
