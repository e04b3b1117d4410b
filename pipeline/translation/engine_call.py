"""From decoded frames to day pictures, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines import device_copies
from nightday.engines.device_copies import Pixels

Translate = Callable[[Any], Any]
"""What an engine does: uint8 RGB (N, H, W, 3) to the same shape. One on a GPU takes tensors, too: see ``run``."""


def to_rgb(video: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Colour of a decoded frame as a contiguous uint8 array (H, W, 3) of its own, by the frame's own matrix.

    ``reformatter`` keeps the conversion's set-up from frame to frame; each thread needs its own.
    """
    converted = reformatter.reformat(video, format="rgb24", threads=1)
    rgb = np.asarray(converted.to_ndarray(), np.uint8)
    if converted is video:
        return rgb.copy()  # else it would share the decoder's memory, and marks would be drawn into that
    return np.ascontiguousarray(rgb)


def device_of(engine: object) -> torch.device | None:
    """The GPU on which an engine or a detector takes tensors; None if it takes arrays on the host only."""
    device: torch.device | None = getattr(engine, "device", None)
    return device


def run(engine: Translate, batch: Pixels) -> Pixels:
    """``engine`` on a batch; what it makes of it lies where the batch does, and is done when this returns."""
    if not isinstance(batch, Tensor):
        day: Pixels = engine(batch)
        return day
    if device_of(engine) is None:  # it has just taken the place of one on the GPU
        return device_copies.to_device(engine(device_copies.to_host(batch, "engine")), batch.device, "engine")
    result: Tensor = engine(batch)
    if result.is_cuda:  # what a batch took is measured, and outputs wait for no longer than one
        torch.cuda.current_stream(result.device).synchronize()
    return result


def translate(
    engine: Callable[[Any], Pixels], pictures: Sequence[Pixels], *, device: torch.device | None = None
) -> list[Pixels | Exception]:
    """Translate pictures of one size (H, W, 3); in place of each result that failed stands the error.

    Tensors stay where they are if ``engine`` has a ``device``, else they are brought to the host.

    When the engine fails on a batch, its frames are tried again one at a time, so that only those at fault
    are lost.
    """
    try:
        batch = stack(pictures, device=device, why="engine")
        result = _checked(engine(batch), batch)
        return list(result if isinstance(result, Tensor) or result.flags.writeable else result.copy())
    except Exception as error:
        if len(pictures) == 1:
            return [error]
    return [result for picture in pictures for result in translate(engine, [picture], device=device)]


def call(engine: Translate, batch: Pixels) -> Pixels:
    """``run(engine, batch)``; ValueError unless that has the batch's shape and type."""
    return _checked(run(engine, batch), batch)


def stack(
    pictures: Sequence[Pixels], *, device: torch.device | None, why: device_copies.CopyReason
) -> Pixels:
    """One batch of pictures of a size: a tensor if all are and ``device`` takes them, else an array on the host."""
    if device is not None and all(isinstance(picture, Tensor) for picture in pictures):
        return torch.stack([picture for picture in pictures if isinstance(picture, Tensor)])
    arrays = [device_copies.on_host(picture, why) for picture in pictures]
    return arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)


def _checked(result: Pixels, batch: Pixels) -> Pixels:
    if result.shape != batch.shape or result.dtype != batch.dtype:
        raise ValueError(f"the engine made {result.dtype} {result.shape} of uint8 {tuple(batch.shape)}")
    return result
