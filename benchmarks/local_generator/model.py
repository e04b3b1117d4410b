"""The general model with a generator that is local: a pixel of the night changes what lies within ``REACH`` of it.

It works at half and at a quarter of the size, where the general model's also works at an eighth; it does not see
where evidence is near, which a pixel changes over 30 pixels far already; and the invariant's mean and deviation are
those of n_ref. One thing of the night is still global: the noise that evidence is measured in, two numbers that are
fitted to the whole frame. It cannot come of n_ref, a median, in which there is hardly any.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nightday.engines.model.blocks import SeparableBlock, fold_batch_norms, norm_layer
from nightday.engines.model.checkpoint import model_of, read_checkpoint
from nightday.engines.model.color_invariant import ColorInvariant
from nightday.engines.model.generator import Known, NightToDay
from nightday.engines.model.layers import LayeredGenerator
from nightday.engines.model.networks import LightGenerator
from nightday.engines.model.settings import LIGHT, GeneratorSettings

# Pixels to each side.
REACH = 48
BLOCKS = 4
# The channel of the generator's input that tells whether evidence is near.
NEAR = 24
# The least deviation of a map of the invariant that is divided by, in powers of e: n_ref may be black.
LEAST_DEVIATION = 0.5
WITH_BACKGROUNDS = replace(LIGHT, backgrounds=True)


class LocalGenerator(nn.Module):
    """As ``LightGenerator``, but of half and quarter alone, in blocks of 3×3 that are wider, and without ``NEAR``.

    Float (N, channels, H/2, W/2) → (N, ``settings.drawn``, H, W) in [-1, 1]; multiples of 8. A pixel of the input
    reaches 26 pixels far.
    """

    def __init__(self, channels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        w = settings.width

        def conv(into: int, out: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(into, out, 3, stride=stride, padding=1),
                norm_layer(settings.norm, out),
                nn.ReLU(inplace=True),
            )

        self.to_half = conv(channels - 1, w)
        blocks = (SeparableBlock(3 * w, settings.norm, 3) for _ in range(BLOCKS))
        self.quarter = nn.Sequential(conv(w, 3 * w, 2), *blocks)
        self.back = nn.Sequential(nn.Conv2d(3 * w, 4 * w, 1), nn.PixelShuffle(2))
        self.at_half = nn.Sequential(nn.ReLU(inplace=True), conv(w, w))
        drawn = 4 * settings.drawn
        self.out = nn.Sequential(nn.Conv2d(w, drawn, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())
        # As in ``LightGenerator``: the four pixels of a shuffle begin with the same weights.
        with torch.no_grad():
            for part in (self.back, self.out):
                for parameter in next(part.children()).parameters():
                    parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def first(self, x: Tensor) -> Tensor:
        """What the first convolution gives, before its norm."""
        made: Tensor = self.to_half[0](torch.cat((x[:, :NEAR], x[:, NEAR + 1 :]), dim=1))
        return made

    def after_first(self, made: Tensor) -> Tensor:
        """What ``first`` gives → four pixels of each channel that is drawn, before the hyperbolic tangent."""
        half = self.to_half[1:](made)
        before: Tensor = self.out[0](self.at_half(half + self.back(self.quarter(half))))
        return before


class LocalInvariant(ColorInvariant):
    """ξ with the mean and the deviation of another picture, which are ``given`` before: float32 (N, 5, 1, 1) each."""

    given: tuple[Tensor, Tensor] | None = None

    def statistics(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """The two of a picture, float (N, 3, H, W) in [0, 1]."""
        edges = torch.log(self.squared_edges(rgb) + self.log_floor)
        deviation = edges.std((2, 3), keepdim=True).clamp_min(LEAST_DEVIATION)
        return edges.mean((2, 3), keepdim=True), deviation

    def scaled(self, log_edges: Tensor) -> Tensor:
        """See ``ColorInvariant``."""
        assert self.given is not None
        mean, deviation = self.given
        return (log_edges - mean) / deviation * self.weight.view(1, -1, 1, 1)


class LocalDraw(nn.Module):
    """The local generator of a model as ``DrawBeside`` has the light one, for compilers.

    It takes the first ``NEAR`` channels of what the generator sees, and what comes of the backgrounds in ``first``.
    """

    def __init__(self, model: LocalModel) -> None:
        super().__init__()
        layered = copy.deepcopy(model.generator)
        fold_batch_norms(layered)
        assert isinstance(layered, LayeredGenerator)
        assert isinstance(layered.generator, LocalGenerator)
        self.inner = layered.generator

    def of_backgrounds(self, seen: Tensor) -> Tensor:
        """``first`` of the last channels of what the generator sees, float (N, 16, h, w)."""
        return F.conv2d(seen, self._first.weight[:, NEAR:], padding=1)

    def forward(self, seen: Tensor, first: Tensor) -> Tensor:
        """What ``generator.after_first`` gives."""
        conv = self._first
        return self.inner.after_first(F.conv2d(seen, conv.weight[:, :NEAR], conv.bias, padding=1) + first)

    @property
    def _first(self) -> nn.Conv2d:
        conv = self.inner.to_half[0]
        assert isinstance(conv, nn.Conv2d)
        return conv


class LocalModel(NightToDay):
    """The whole model around a ``LocalGenerator``.

    Attributes:
        whole: n_ref of the whole picture, float (1, 3, H, W) in [0, 1], while parts of it are translated.
    """

    whole: Tensor | None = None

    def __init__(self) -> None:
        super().__init__(WITH_BACKGROUNDS)
        assert isinstance(self.generator, LayeredGenerator)
        assert isinstance(self.generator.generator, LightGenerator)
        channels = self.generator.generator.to_half[0].in_channels
        assert isinstance(channels, int)
        self.generator = LayeredGenerator(LocalGenerator(channels, WITH_BACKGROUNDS), light=True)
        self.invariant: ColorInvariant | None = LocalInvariant(radius=LIGHT.invariant_radius, stride=2)

    def see_beside(self, rgb: Tensor, known: Known) -> Tensor:
        """See ``NightToDay``."""
        assert isinstance(self.invariant, LocalInvariant)
        with torch.autocast(rgb.device.type, enabled=False):
            self.invariant.given = self.invariant.statistics(
                known.night if self.whole is None else self.whole
            )
        return super().see_beside(rgb, known)


# What works at half size, which both generators have alike, and ξ.
ALIKE = ("invariant.", *(f"generator.generator.{part}." for part in ("to_half", "at_half", "out")))


def started_from(general: dict[str, Tensor], model: NightToDay) -> NightToDay:
    """``model``, local or light, with the weights of the general one in the parts that both have ``ALIKE``."""
    state = model.state_dict()
    for name in state:
        if name.startswith(ALIKE):
            value = general[name]
            if value.shape != state[name].shape:  # the first convolution, without NEAR
                value = value[:, [at for at in range(value.shape[1]) if at != NEAR]]
            state[name] = value
    model.load_state_dict(state)
    return model


def load(path: Path) -> NightToDay:
    """The model of a checkpoint, local or light, in evaluation mode."""
    content = read_checkpoint(path)
    if not any(".quarter." in name for name in content["state"]):
        return model_of(content, path)
    model = LocalModel()
    model.load_state_dict(content["state"])
    model.eval()
    return model
