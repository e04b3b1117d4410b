"""A detector's feature maps as a measure of how alike two pictures are to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nightday.engines.detection.letterbox import PADDING
from nightday.engines.detection.model_file import read_model


class DetectorFeatures(nn.Module):
    """The feature maps that go into a detection model's head, one per stride, differentiable in the picture.

    They are useful for a model whose output a detector will see: all pixels count the same, while these maps hold
    what vehicles and people are recognised by.

    Args:
        path: a file written by ultralytics' trainer. See ``load_detector`` for what it may hold.

    Raises:
        DetectorError: ultralytics is not installed, or the file is no such model.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.model = read_model(path)
        self.stride = max(32, int(torch.as_tensor(self.model.stride).max()))
        layers: Any = self.model.model
        layers[-1].forward = list  # the head returns its inputs

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Float (N, 3, H, W) in [0, 1] → maps (N, C, H/8, W/8), (N, C', H/16, W/16), (N, C", H/32, W/32)."""
        grow = (0, -int(rgb.shape[-1]) % self.stride, 0, -int(rgb.shape[-2]) % self.stride)
        maps: list[Tensor] = self.model(F.pad(rgb, grow, value=PADDING / 255))
        return maps

    def difference(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Mean over the maps of |ζ(made) - ζ(wanted)| / |ζ(wanted)|, pictures as in ``forward``; a scalar."""
        with torch.no_grad():
            right = self(wanted)
        return torch.stack(
            [(m - r).abs().mean() / r.abs().mean() for m, r in zip(self(made), right, strict=True)]
        ).mean()
