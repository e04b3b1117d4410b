"""The layers and blocks that generators are made of."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Norm = Literal["instance", "batch"]


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """The normalisation of a number of channels."""
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)


class ResizeConv2d(nn.Conv2d):
    """A 3×3 convolution, padded by reflection, of a picture enlarged to twice its size by nearest pixels.

    Enlarging repeats pixels, so that the nine products of each output pixel can be computed as four. The same sums
    are those of one transposed convolution of 4×4 and stride 2 over the small picture padded by its own edge, with
    this kernel blurred by 2×2.
    """

    def __init__(self, into: int, out: int) -> None:
        super().__init__(into, out, 3)

    def transposed_weight(self) -> Tensor:
        """The kernel of that transposed convolution, (into, out, 4, 4)."""
        taps = self.weight.transpose(0, 1).flip(2, 3)
        taps = F.pad(taps, (0, 1)) + F.pad(taps, (1, 0))
        return F.pad(taps, (0, 0, 0, 1)) + F.pad(taps, (0, 0, 1, 0))

    def plain(self) -> nn.Sequential:
        """The same as a padding and a plain ``nn.ConvTranspose2d``, for compilers."""
        into, out = self.in_channels, self.out_channels
        conv = nn.ConvTranspose2d(into, out, 4, stride=2, padding=3)
        conv.weight = nn.Parameter(self.transposed_weight().detach().contiguous())
        conv.bias = self.bias
        return nn.Sequential(nn.ReplicationPad2d(1), conv).train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, into, H, W) → (N, out, 2 H, 2 W)."""
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(padded, self.transposed_weight(), self.bias, stride=2, padding=3)


class ResidualBlock(nn.Module):
    """x + conv-norm-relu-conv-norm(x), 3×3, reflection padding."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, C, H, W) → the same shape."""
        sum_: Tensor = x + self.body(x)
        return sum_


class SeparableBlock(nn.Module):
    """x + pointwise-relu-pointwise(norm(depthwise(x))): a ninth of a residual block's products at 64 channels.

    The depthwise convolution sees ``side`` × ``side`` pixels.
    """

    def __init__(self, channels: int, norm: Norm, side: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels),
            norm_layer(norm, channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, C, H, W) → the same shape."""
        sum_: Tensor = x + self.body(x)
        return sum_


def make_plain(generator: nn.Module) -> None:
    """Replace each ``ResizeConv2d`` in ``generator`` by its ``plain``."""
    for parent in list(generator.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ResizeConv2d):
                setattr(parent, name, child.plain())


def fold_batch_norms(module: nn.Module) -> None:
    """Fold each batch norm of ``module`` that follows a convolution in a sequence into that convolution, in float32.

    In half precision the two would round twice.
    """
    for parent in list(module.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for at in range(len(parent) - 1):
            layer, norm = parent[at], parent[at + 1]
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(layer, nn.ConvTranspose2d)
                parent[at] = fuse_conv_bn_eval(layer.eval(), norm.eval(), transpose=transposed)
                parent[at + 1] = nn.Identity()
