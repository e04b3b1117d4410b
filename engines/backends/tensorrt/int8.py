"""Post-training quantisation to int8 for TensorRT: a generator's convolutions, with ranges taken from real frames.

TensorRT is strongly typed: it computes in int8 between quantising (Q) and dequantising (DQ) layers. Each convolution
is one operator here, so that no pass over the graph folds the Q and DQ of its constant weights away. PyTorch runs
that operator too, in the same steps, which shows how much int8 changes the picture where there is no GPU.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...model.generator import NightToDay
from ...model.qualification_frames import RgbPair
from ..device_backgrounds import small
from .export import WholeGraph

# The largest value. Ranges are symmetric, because TensorRT knows no zero point.
LEVELS = 127

# The smallest range, so that no step is zero where a layer sees nothing but zeros.
MIN_RANGE = 1e-6


@torch.library.custom_op(
    "nightday::conv_int8",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor bias, Tensor x_range, Tensor weight_ranges, "
    "int[] stride, int[] padding, int groups) -> Tensor",
)
def conv_int8(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    x_range: Tensor,
    weight_ranges: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
) -> Tensor:
    """A convolution of int8 by int8. Its sums are scaled back and given in the dtype of ``x``.

    Args:
        x: float of any precision (N, C, H, W).
        weight: the same type (C', C / groups, h, w).
        bias: the same type (C').
        x_range: float32 scalar: the value that becomes 127, as do larger ones.
        weight_ranges: float32 (C', 1, 1, 1), the same for each output channel's weights.
        stride, padding, groups: as of ``F.conv2d``.
    """
    x8, weight8 = _quantised(x, x_range), _quantised(weight, weight_ranges)
    return F.conv2d(x8, weight8, bias.float(), stride, padding, 1, groups).to(x.dtype)


@conv_int8.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    x_range: Tensor,
    weight_ranges: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
) -> Tensor:
    return F.conv2d(x, weight, bias, stride, padding, 1, groups)


def _quantised(x: Tensor, range_: Tensor) -> Tensor:
    """``x`` rounded to int8 and scaled back, as float32."""
    step = range_ / LEVELS
    return (x.float() / step).round().clamp(-LEVELS - 1, LEVELS) * step


class Int8Conv(nn.Module):
    """A convolution in int8, see ``conv_int8``.

    Args:
        conv: the layer that it replaces, of any precision; without dilation, padded with zeros.
        x_range: the largest absolute value of its input.
    """

    def __init__(self, conv: nn.Conv2d, x_range: float) -> None:
        super().__init__()
        assert conv.bias is not None
        assert conv.dilation == (1, 1)
        assert conv.padding_mode == "zeros"
        self.weight, self.bias = conv.weight, conv.bias
        self.stride = list(conv.stride)
        self.padding = [int(p) for p in conv.padding]
        self.groups = conv.groups
        ranges = conv.weight.detach().float().abs().amax((1, 2, 3), keepdim=True)
        self.register_buffer("x_range", ranges.new_tensor(max(x_range, MIN_RANGE)), persistent=False)
        self.register_buffer("weight_ranges", ranges.clamp_min(MIN_RANGE), persistent=False)

    x_range: Tensor
    weight_ranges: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, C, H, W) → the same type (N, C', H', W')."""
        layer = (self.weight, self.bias, self.x_range, self.weight_ranges)
        made: Tensor = conv_int8(x, *layer, self.stride, self.padding, self.groups)
        return made


def convolutions(whole: nn.Module) -> dict[str, nn.Conv2d]:
    """The layers of a ``WholeGraph`` that are quantised, by name, in the order in which they were made.

    These are all convolutions of the generator; those of the invariant are no layers. The two transposed ones by
    which a ResNet enlarges stay fp16, because torch-tensorrt's Q layers know no range for each of their output
    channels.
    """
    return {name: layer for name, layer in whole.named_modules() if isinstance(layer, nn.Conv2d)}


def ranges(
    model: NightToDay, frames: Sequence[NDArray[np.uint8]], backgrounds: Sequence[RgbPair] = ()
) -> list[float]:
    """The largest absolute value of the input of each of ``convolutions`` on ``frames``, uint8 RGB (H, W, 3) each.

    ``backgrounds`` are those of each frame where the model takes them.

    No value that was seen is cut off. Smaller ranges, of least squared error, come nearer to eager fp32 but no nearer
    to the truth, and would cut values of brighter frames (benchmarks/NOTES.md).
    """
    most: list[float] = []

    def note(at: int, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        most[at] = max(most[at], float(given[0].abs().max()))

    for i, frame in enumerate(frames):
        whole = WholeGraph(model, frame.shape[:2])
        layers = convolutions(whole).values()
        most = most or [0.0] * len(layers)
        for at, layer in enumerate(layers):
            layer.register_forward_pre_hook(functools.partial(note, at))
        device = next(whole.parameters()).device
        night, *beside = (
            torch.from_numpy(np.array(picture)).to(device)
            for picture in (frame, *(backgrounds[i] if backgrounds else ()))
        )
        with torch.inference_mode():
            whole(night[None].float(), *(small(whole.module, one)[None] for one in beside))
    return most


def quantise(whole: WholeGraph, x_ranges: Sequence[float]) -> WholeGraph:
    """Make all ``convolutions`` of ``whole`` int8, with the ranges of ``ranges``. Returns ``whole``."""
    for (name, conv), most in zip(convolutions(whole).items(), x_ranges, strict=True):
        whole.set_submodule(name, Int8Conv(conv, most))
    return whole


@functools.cache
def teach_torch_tensorrt() -> None:
    """Have torch-tensorrt convert ``conv_int8`` to Q and DQ around input and weights, by its own functions for that.

    Its own operator for Q and DQ comes with nvidia-modelopt, which brings a dozen packages to do what is done here.
    """
    from torch_tensorrt.dynamo._SourceIR import SourceIR
    from torch_tensorrt.dynamo.conversion import dynamo_tensorrt_converter, impl

    def convert(ctx: Any, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Any:
        x, weight, bias, x_range, weight_ranges, stride, padding, groups = args
        x8, weight8 = (
            impl.quantize.quantize(ctx, target, SourceIR.UNKNOWN, f"{name}_{what}", value, range_, 8, 0)
            for what, value, range_ in (("x", x, x_range), ("weight", weight, weight_ranges))
        )
        return impl.conv.convNd(
            ctx,
            target,
            SourceIR.UNKNOWN,
            name,
            is_conv1d=False,
            input=x8,
            weight=weight8,
            bias=bias,
            stride=stride,
            padding=padding,
            dilation=1,
            groups=groups,
        )

    dynamo_tensorrt_converter(torch.ops.nightday.conv_int8.default, supports_dynamic_shapes=True)(convert)
