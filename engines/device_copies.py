"""Copies of whole frames between the host's memory and a GPU's: each one is made here and counted.

A frame that is decoded, translated and encoded on a GPU is never copied. Small things, such as a mark or a mean, are
copied without being counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Literal, TypeVar, Union, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Direction = Literal["to_host", "to_device"]
CopyReason = Literal["decode", "engine", "detector", "encode", "background", "snapshot", "collect", "model"]
"""What a copy was made for: a stage that cannot work on the GPU, or something that rarely looks at a frame."""

Pixels = Union[NDArray[np.uint8], "Tensor"]
"""Uint8 pictures, an array on the host or a tensor on a device."""

PixelsT = TypeVar("PixelsT", NDArray[np.uint8], "Tensor")
"""``Pixels`` where the result is an array if the argument is one, and a tensor if that is one."""

_lock = threading.Lock()
_counts: Counter[tuple[Direction, CopyReason]] = Counter()


def counted() -> dict[tuple[Direction, CopyReason], int]:
    """How many frames the process has copied, by direction and reason. Every pair is listed, also with 0."""
    with _lock:
        return {
            (direction, reason): _counts[direction, reason]
            for direction in get_args(Direction)
            for reason in get_args(CopyReason)
        }


def to_device(frames: NDArray[np.uint8], device: torch.device, why: CopyReason) -> Tensor:
    """A picture (H, W, 3) or a batch (N, H, W, 3) as a tensor on ``device``. On a CPU the array is not copied."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(frames))
    if device.type == "cpu":
        return tensor
    _count("to_device", why, tensor)
    return tensor.to(device)


def to_host(frames: Tensor, why: CopyReason) -> NDArray[np.uint8]:
    """Pictures as an array on the host, once the device has made them. It shares the memory of a tensor on a CPU."""
    if frames.device.type != "cpu":
        _count("to_host", why, frames)
        frames = frames.cpu()
    return frames.numpy()


def on_host(frames: Pixels, why: CopyReason) -> NDArray[np.uint8]:
    """An array is returned as it is, a tensor is brought ``to_host``."""
    return frames if isinstance(frames, np.ndarray) else to_host(frames, why)


def _count(direction: Direction, why: CopyReason, frames: Tensor) -> None:
    with _lock:
        _counts[direction, why] += len(frames) if frames.dim() == 4 else 1
