"""The generators: what a model sees, to the channels that its picture is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import ResidualBlock, ResizeConv2d, SeparableBlock, norm_layer
from .settings import GeneratorSettings


class ResnetGenerator(nn.Module):
    """The CycleGAN/CUT ResNet: 7×7 stem, two strided convolutions, residual blocks, two upsamplings, 7×7, tanh.

    Float (N, channels, H, W) → (N, ``settings.drawn``, H, W) in [-1, 1]; H and W multiples of 4.
    """

    def __init__(self, channels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        w, norm = settings.width, settings.norm
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, w, 7),
            norm_layer(norm, w),
            nn.ReLU(inplace=True),
        ]
        for c in (w, 2 * w):
            layers += [
                nn.Conv2d(c, 2 * c, 3, stride=2, padding=1),
                norm_layer(norm, 2 * c),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * w, norm) for _ in range(settings.blocks)]
        for c in (4 * w, 2 * w):
            if settings.upsample == "resize":
                # Two layers that do nothing, so that those after them keep the names that they have in checkpoints.
                layers += [nn.Identity(), nn.Identity(), ResizeConv2d(c, c // 2)]
            else:
                layers.append(nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1))
            layers += [norm_layer(norm, c // 2), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(w, settings.drawn, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def first(self, x: Tensor) -> Tensor:
        """What the first convolution gives, before its norm."""
        made: Tensor = self.layers[:2](x)
        return made

    def after_first(self, made: Tensor) -> Tensor:
        """What ``first`` gives → the input of the last layer, the hyperbolic tangent."""
        before: Tensor = self.layers[2:-1](made)
        return before

    def before_tanh(self, x: Tensor) -> Tensor:
        """The input of the last layer, the hyperbolic tangent."""
        before: Tensor = self.layers[:-1](x)
        return before

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, channels, H, W) → float (N, 3, H, W) in [-1, 1]."""
        day: Tensor = self.layers(x)
        return day


class LightGenerator(nn.Module):
    """A small U-Net that does no work at full size: half, quarter, eighth, and back by pixel shuffle.

    It takes a quarter of the compact ResNet's products.

    Float (N, channels, H/2, W/2) → (N, ``settings.drawn``, H, W) in [-1, 1]; multiples of 8.
    """

    def __init__(self, channels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        w, norm = settings.width, settings.norm

        def conv(into: int, out: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(into, out, 3, stride=stride, padding=1),
                norm_layer(norm, out),
                nn.ReLU(inplace=True),
            )

        def up(into: int, out: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(into, 4 * out, 1), nn.PixelShuffle(2))

        self.to_half = conv(channels, w)
        self.to_quarter = nn.Sequential(conv(w, 2 * w, 2), SeparableBlock(2 * w, norm))
        self.to_eighth = nn.Sequential(
            conv(2 * w, 4 * w, 2), *(SeparableBlock(4 * w, norm) for _ in range(settings.blocks))
        )
        self.back_to_quarter, self.at_quarter = up(4 * w, 2 * w), SeparableBlock(2 * w, norm)
        self.back_to_half, self.at_half = up(2 * w, w), nn.Sequential(nn.ReLU(inplace=True), conv(w, w))
        drawn = 4 * settings.drawn
        self.out = nn.Sequential(nn.Conv2d(w, drawn, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())
        # Each four pixels that a shuffle makes begin with the same weights (ICNR, Aitken et al., 2017). Otherwise
        # they begin as a lattice, which adversarial training does not get rid of.
        with torch.no_grad():
            for part in (self.back_to_quarter, self.back_to_half, self.out):
                for parameter in next(part.children()).parameters():
                    parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def first(self, x: Tensor) -> Tensor:
        """What the first convolution gives, before its norm."""
        made: Tensor = self.to_half[0](x)
        return made

    def after_first(self, made: Tensor) -> Tensor:
        """What ``first`` gives → four pixels of each channel that is drawn, before the hyperbolic tangent."""
        before: Tensor = self.out[0](self._after_half(self.to_half[1:](made)))
        return before

    def before_tanh(self, x: Tensor) -> Tensor:
        """The input of the last layer, the hyperbolic tangent."""
        before: Tensor = self.out[:-1](self._after_half(self.to_half(x)))
        return before

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, channels, H/2, W/2) → float (N, 3, H, W) in [-1, 1]."""
        day: Tensor = self.out(self._after_half(self.to_half(x)))
        return day

    def _after_half(self, half: Tensor) -> Tensor:
        quarter = self.to_quarter(half)
        quarter = self.at_quarter(quarter + self.back_to_quarter(self.to_eighth(quarter)))
        made: Tensor = self.at_half(half + self.back_to_half(quarter))
        return made
