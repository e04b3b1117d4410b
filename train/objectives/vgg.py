"""VGG-16 features ζ at relu3-1 and relu4-1, frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nightday.engines.errors import NightdayError

# torchvision's published ImageNet weights (VGG16_Weights.IMAGENET1K_V1), downloaded through torch.hub.
IMAGENET_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# (index in torchvision's vgg16().features, in channels, out channels); "pool" halves the size
PLAN: tuple[tuple[int, int, int] | str, ...] = (
    (0, 3, 64),
    (2, 64, 64),
    "pool",
    (5, 64, 128),
    (7, 128, 128),
    "pool",
    (10, 128, 256),  # relu3-1
    (12, 256, 256),
    (14, 256, 256),
    "pool",
    (17, 256, 512),  # relu4-1
)
TAPS = (10, 17)

VggWeights = Literal["imagenet", "orthogonal"]


class VggWeightsError(NightdayError, ValueError):
    """The weights cannot be had or do not fit. The message is one line and names the file."""


class Vgg16Features(nn.Module):
    """ζ_k(x) for k = relu3-1 (256 channels, 1/4 size) and relu4-1 (512 channels, 1/8 size).

    Args:
        weights: ``imagenet`` downloads torchvision's published file through torch.hub (or finds it in its
            cache); a path reads such a file; ``orthogonal`` needs no file: random orthogonal kernels of gain
            √2 from a fixed seed. These keep distances from layer to layer, so that EleSim still separates a
            changed region from an unchanged one, but they were trained on no textures and let fine noise through.
    """

    def __init__(self, weights: VggWeights | str | Path = "orthogonal") -> None:
        super().__init__()
        self.convs = nn.ModuleDict(
            {
                str(step[0]): nn.Conv2d(step[1], step[2], 3, padding=1)
                for step in PLAN
                if not isinstance(step, str)
            }
        )
        if weights == "orthogonal":
            generator = torch.Generator().manual_seed(16)
            for conv in self.convs.values():
                assert isinstance(conv, nn.Conv2d)
                nn.init.orthogonal_(conv.weight, gain=2**0.5, generator=generator)
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        else:
            self._load(weights)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    mean: Tensor
    std: Tensor

    def _load(self, weights: str | Path) -> None:
        try:
            if weights == "imagenet":
                state = torch.hub.load_state_dict_from_url(
                    IMAGENET_URL, map_location="cpu", weights_only=True
                )
            else:
                state = torch.load(weights, map_location="cpu", weights_only=True)
        except Exception as error:
            # urllib, pickle, zipfile and torch each raise their own
            raise VggWeightsError(
                f"{weights}: VGG-16 weights cannot be read ({type(error).__name__}); give the path of torchvision's "
                f"{IMAGENET_URL.rsplit('/', 1)[1]}, or use `orthogonal`, which needs no file"
            ) from None
        try:
            for index, conv in self.convs.items():
                conv.load_state_dict({k: state[f"features.{index}.{k}"] for k in ("weight", "bias")})
        except (KeyError, TypeError, RuntimeError) as error:
            raise VggWeightsError(
                f"{weights}: not torchvision's VGG-16: {str(error).splitlines()[0]}"
            ) from None

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Float (N, 3, H, W) in [0, 1] → [(N, 256, H/4, W/4), (N, 512, H/8, W/8)], after the ReLU."""
        x = (rgb - self.mean) / self.std
        features = []
        for step in PLAN:
            if isinstance(step, str):
                x = F.max_pool2d(x, 2)
                continue
            x = F.relu(self.convs[str(step[0])](x), inplace=True)
            if step[0] in TAPS:
                features.append(x)
        return features
