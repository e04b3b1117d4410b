"""The 70×70 PatchGAN discriminator."""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """D: C64-C128-C256-C512, 4×4 kernels; each output sees 70×70 pixels (Isola et al., CVPR 2017).

    Float (N, 3, H, W) in [0, 1] → float (N, 1, H/8 - 2, W/8 - 2), unbounded (LSGAN). H, W ≥ 32.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, stride in enumerate((2, 2, 1)):
            c = width * 2**i
            layers += [
                nn.Conv2d(c, 2 * c, 4, stride=stride, padding=1),
                nn.InstanceNorm2d(2 * c),
                nn.LeakyReLU(0.2),
            ]
        layers.append(nn.Conv2d(8 * width, 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, rgb: Tensor) -> Tensor:
        """Scores: towards 1 is real, towards 0 is generated."""
        scores: Tensor = self.layers(rgb * 2 - 1)
        return scores
