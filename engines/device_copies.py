"""Whole frames between the host's memory and a GPU's: every copy of one goes through here and is counted.

A frame that is decoded, translated and encoded on a GPU crosses nowhere. What is small, such as a mark or a mean, may
cross as it likes and does not count.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Direction = Literal["to_host", "to_device"]
CopyReason = Literal["decode", "engine", "detector", "encode", "background", "snapshot", "collect"]
"""Who wanted it on the other side: the stage that has no unit on the GPU, or what looks at a frame now and then."""

Pixels = NDArray[np.uint8] | Tensor
"""Uint8 pictures, an array on the host or a tensor on a device."""

_lock = threading.Lock()
_counts: Counter[tuple[Direction, CopyReason]] = Counter()


def counted() -> dict[tuple[Direction, CopyReason], int]:
    """Frames copied since the process began, by direction and reason; those that never happened with 0."""
    with _lock:
        return {
            (direction, reason): _counts[direction, reason]
            for direction in get_args(Direction)
            for reason in get_args(CopyReason)
        }


def to_device(frames: NDArray[np.uint8], device: torch.device, why: CopyReason) -> Tensor:
    """Pictures (H, W, 3) or a batch of them (N, H, W, 3) as a tensor on ``device``; of a CPU they share memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(frames))
    if device.type == "cpu":
        return tensor
    _count("to_device", why, tensor)
    return tensor.to(device)


def to_host(frames: Tensor, why: CopyReason) -> NDArray[np.uint8]:
    """Pictures as an array on the host; of a tensor on a CPU they share memory. Waits for the device."""
    if frames.device.type != "cpu":
        _count("to_host", why, frames)
        frames = frames.cpu()
    return frames.numpy()


def on_host(frames: Pixels, why: CopyReason) -> NDArray[np.uint8]:
    """What is an array already as it is, a tensor ``to_host``."""
    return to_host(frames, why) if isinstance(frames, Tensor) else frames


def _count(direction: Direction, why: CopyReason, frames: Tensor) -> None:
    with _lock:
        _counts[direction, why] += len(frames) if frames.dim() == 4 else 1
