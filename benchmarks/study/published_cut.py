"""CUT with its networks as its authors published them, every resampling anti-aliased: for timing beside it.

Their generator convolves at the finer size and blurs before it leaves pixels out (Zhang, ICML 2019), and blurs after
it puts pixels in; their discriminator does so too. That is a third more products in the generator than in CycleGAN's
and four times as many in the discriminator. The study compares losses on equal networks; what is claimed of the
published method's speed is claimed of these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.study.rivals import Cut
from nightday.engines.model.blocks import ResidualBlock
from nightday.engines.model.settings import GeneratorSettings


class BlurDown(nn.Module):
    """Float (N, C, H, W) → (N, C, ⌈H / 2⌉, ⌈W / 2⌉): blurred by (1, 2, 1) both ways, every second pixel kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(line, line) / 16
        self.register_buffer("kernel", kernel.expand(channels, 1, 3, 3).contiguous())

    kernel: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Float (N, C, H, W) → (N, C, 2 H, 2 W): zeros between the pixels, then blurred by (1, 3, 3, 1) / 4 both ways."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(line, line).expand(channels, 1, 4, 4).contiguous())

    kernel: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        grown = F.pad(x, (1, 1, 1, 1), mode="replicate")
        y = F.conv_transpose2d(grown, self.kernel, stride=2, padding=1, groups=x.shape[1])
        return y[..., 2:-2, 2:-2]


class AntialiasedResnet(nn.Module):
    """CUT's generator: as ``ResnetGenerator``, resampled by ``BlurDown`` and ``BlurUp``."""

    def __init__(self, channels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        w = settings.width
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, w, 7)]
        layers += [nn.InstanceNorm2d(w), nn.ReLU(inplace=True)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, padding=1), nn.InstanceNorm2d(2 * c), nn.ReLU(inplace=True)]
            layers.append(BlurDown(2 * c))
        layers += [ResidualBlock(4 * w, "instance") for _ in range(settings.blocks)]
        for c in (4 * w, 2 * w):
            layers += [BlurUp(c), nn.Conv2d(c, c // 2, 3, padding=1), nn.InstanceNorm2d(c // 2)]
            layers.append(nn.ReLU(inplace=True))
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, channels, H, W) → float (N, 3, H, W) in [-1, 1]; H and W multiples of 4."""
        out: Tensor = self.layers(x)
        return out


class AntialiasedPatchDiscriminator(nn.Module):
    """CUT's discriminator: 4×4 convolutions of stride 1, each halving by ``BlurDown``."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, padding=1), nn.LeakyReLU(0.2), BlurDown(width)]
        for c in (width, 2 * width):
            layers += [nn.Conv2d(c, 2 * c, 4, padding=1), nn.InstanceNorm2d(2 * c), nn.LeakyReLU(0.2)]
            layers.append(BlurDown(2 * c))
        layers += [nn.Conv2d(4 * width, 8 * width, 4, padding=1), nn.InstanceNorm2d(8 * width)]
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(8 * width, 1, 4, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, rgb: Tensor) -> Tensor:
        """Float (N, 3, H, W) in [0, 1] → scores."""
        out: Tensor = self.layers(rgb * 2 - 1)
        return out


class PublishedCut(Cut):
    """``Cut`` on these networks; features at the same places of the encoder, now layers 0, 4, 8, 12 and 16."""

    def _shape(self, generator: GeneratorSettings) -> None:
        self.taps = (0, 4, 8, 12, 12 + min(4, generator.blocks - 1))
        self.model.generator = AntialiasedResnet(3, generator).to(self.device)

    def _new_judge(self) -> nn.Module:
        return AntialiasedPatchDiscriminator()

    def _layers(self) -> nn.Sequential:
        assert isinstance(self.model.generator, AntialiasedResnet)
        return self.model.generator.layers
