"""Parts of models written as OpenVINO computes them soonest; they give the same."""

from __future__ import annotations

import copy
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.color_invariant import ColorInvariant
from ...model.generator import NightToDay
from ...model.networks import ResnetGenerator


def with_fast_invariant(model: NightToDay) -> NightToDay:
    """The model with an invariant that is faster in OpenVINO."""
    model = in_strips(model)
    if isinstance(model.invariant, ColorInvariant):
        model = copy.deepcopy(model)
        assert model.invariant is not None
        model.add_module("invariant", _WithinReach(model.invariant))
    return model


class _WithinReach(nn.Module):
    """The invariant without the taps that are practically zero, all of its convolutions depthwise."""

    def __init__(self, invariant: ColorInvariant) -> None:
        super().__init__()
        self.invariant = invariant
        self.reach = invariant.reach()

    def forward(self, rgb: Tensor) -> Tensor:
        padded = F.pad(rgb, (self.reach,) * 4, mode="replicate")
        edges = self.invariant.edges_within(padded, self.reach, depthwise=True)
        return self.invariant.scaled(torch.log(edges + self.invariant.log_floor))


def in_strips(model: NightToDay) -> NightToDay:
    """The model with an invariant that is faster in OpenVINO; itself where the invariant has a stride of 2."""
    if model.invariant is None or model.invariant.stride > 1:
        return model
    model = copy.deepcopy(model)
    assert model.invariant is not None
    model.add_module("invariant", _InStrips(model.invariant))
    return model


class _InStrips(nn.Module):
    """The invariant, computed for strips of the picture one after the other, which fit into the processor's cache.

    Its last step, the normalisation, is computed for the whole picture. All convolutions are depthwise, so that
    OpenVINO reorders nothing between them, and taps that are practically zero are left out.
    """

    STRIPS = 6

    def __init__(self, invariant: ColorInvariant) -> None:
        super().__init__()
        self.invariant = invariant
        self.reach = invariant.reach()

    def forward(self, rgb: Tensor) -> Tensor:
        height, reach = int(rgb.shape[-2]), self.reach
        padded = F.pad(rgb, (reach,) * 4, mode="replicate")
        rows = -(-height // self.STRIPS)
        strips = [
            torch.log(
                self.invariant.edges_within(
                    padded[:, :, top : min(top + rows, height) + 2 * reach], reach, depthwise=True
                )
                + self.invariant.log_floor
            )
            for top in range(0, height, rows)
        ]
        return self.invariant.scaled(torch.cat(strips, 2))


def widen(generator: ResnetGenerator) -> None:
    """Have the last convolution of a generator make four pixels at once."""
    end = generator.layers[-2]
    assert isinstance(end, nn.Conv2d)
    generator.layers[-2] = _FourAtOnce(end)


class _FourAtOnce(nn.Module):
    """A convolution that makes 2×2 pixels at a time: the same sums, padded with zeros, as four times the channels.

    With three output channels OpenVINO leaves 13 of the 16 places of a vector empty, with twelve only four.
    """

    def __init__(self, narrow: nn.Conv2d) -> None:
        super().__init__()
        out, into, size, _ = narrow.weight.shape
        self.wide = nn.Conv2d(into, 4 * out, size + 1, stride=2)
        weight = torch.zeros(out, 2, 2, into, size + 1, size + 1)
        for y, x in itertools.product((0, 1), (0, 1)):
            weight[:, y, x, :, y : y + size, x : x + size] = narrow.weight.detach()
        with torch.no_grad():
            self.wide.weight.copy_(weight.flatten(0, 2))
            assert self.wide.bias is not None
            assert narrow.bias is not None
            self.wide.bias.copy_(narrow.bias.repeat_interleave(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.wide(x), 2)
