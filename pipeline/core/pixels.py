"""Pictures as arrays on the host or tensors on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nightday.engines import device_copies
from nightday.engines.device_copies import CopyReason, Pixels

if TYPE_CHECKING:
    import torch


def stack(pictures: Sequence[Pixels], *, device: torch.device | None, why: CopyReason) -> Pixels:
    """One batch of pictures of a size (H, W, 3): a tensor if all are and ``device`` takes them, else an array.

    ``why`` says what an array on the host is needed for, where that copies.
    """
    tensors = [picture for picture in pictures if not isinstance(picture, np.ndarray)]
    if device is not None and len(tensors) == len(pictures):
        import torch

        return torch.stack(tensors)
    arrays = [device_copies.on_host(picture, why) for picture in pictures]
    return arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)


def copy_of(picture: Pixels) -> Pixels:
    """A copy where the picture lies."""
    return picture.copy() if isinstance(picture, np.ndarray) else picture.clone()
