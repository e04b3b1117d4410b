"""Pictures and masks to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..footage.scene import Image


def to_tensor(images: Sequence[Image], device: torch.device) -> Tensor:
    """uint8 (H, W, 3) each → float (N, 3, H, W) in [0, 1] on the device."""
    batch = torch.from_numpy(np.stack(images)).to(device)
    return batch.permute(0, 3, 1, 2).float().div(255)


def to_maps(maps: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
    """(H, W) each → (N, 1, H, W) of the same type on the device."""
    return torch.from_numpy(np.stack(maps)).to(device)[:, None]
