"""The graphs that a model is given to OpenVINO as, so that a part stays fp32 while the generator need not."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import openvino as ov
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from ...model.blocks import fold_batch_norms, make_plain
from ...model.color_invariant import ColorInvariant
from ...model.generator import Known, NightToDay, from_bytes, to_bytes
from ...model.layers import LayeredGenerator
from ...model.lift import Lifted, module_for
from ...model.networks import LightGenerator, ResnetGenerator

# "known" is what comes of the backgrounds alone, "rest" is the generator. The names are part of file names in users'
# caches.
GraphName = Literal["known", "front", "rest", "lift"]

# What "known" gives: to the front, and to the rest.
_TO_FRONT = Known._fields[:-1]
_TO_REST = ("first", "dark", "reference")

BACKGROUNDS = ("day_background", "night_background")
"""What "known" takes."""


@dataclass(frozen=True, slots=True)
class Graph:
    """One of a model's graphs for frames of a size.

    Attributes:
        name: which of them.
        module: the same as a module of PyTorch's.
        examples: inputs of the shapes that it is compiled for.
        takes: the names of its inputs.
        gives: the names of its outputs, some of which the graphs after it take.
    """

    name: GraphName
    module: nn.Module
    examples: tuple[Tensor, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]

    def converted(self, shapes: Sequence[Sequence[int]] | None = None) -> ov.Model:
        """The graph as OpenVINO's, for the shapes of its examples, or for ``shapes`` with -1 for any length."""
        with warnings.catch_warnings(), torch.inference_mode():
            # Tracing turns sizes into constants. That is intended, as a graph is for one size alone; the generator,
            # which is converted for any size, has none.
            warnings.simplefilter("ignore", TracerWarning)
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # PyTorch's, about functions that OpenVINO calls
            wanted = shapes or [example.shape for example in self.examples]
            # OpenVINO would trace it too, but then check the trace by another, for more than half of the time.
            traced = torch.jit.trace(self.module.eval(), self.examples, strict=False, check_trace=False)
            return ov.convert_model(
                traced, example_input=self.examples, input=[list(shape) for shape in wanted]
            )


def graphs_for(model: NightToDay, height: int, width: int) -> list[Graph]:
    """The graphs for one frame of a size, in their order.

    The front makes the generator's input, the rest is the generator, and for large frames the lift brings back the
    edges. The front pads the picture on the right and below, and the generator's days are as large as that.

    A model that takes backgrounds has a graph before these, which is run once for each pair of backgrounds.
    """
    module = module_for(model, height, width)
    frame = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        if model.settings.backgrounds:
            return _graphs_beside(module, frame)
        if not isinstance(module, Lifted):
            front = _Front(model)
            return [
                Graph("front", front, (frame,), ("frames",), ("seen",)),
                Graph("rest", _Rest(model), (front(frame),), ("seen",), ("days",)),
            ]
        shrink, rest = _Shrink(module), _Rest(model)
        seen, cells = shrink(frame)
        return [
            Graph("front", shrink, (frame,), ("frames",), ("seen", "cells")),
            Graph("rest", rest, (seen,), ("seen",), ("small",)),
            Graph("lift", _Lift(module), (frame, cells, rest(seen)), ("frames", "cells", "small"), ("days",)),
        ]


def _graphs_beside(module: NightToDay | Lifted, frame: Tensor) -> list[Graph]:
    """``graphs_for`` of a model that takes backgrounds."""
    lifted = isinstance(module, Lifted)
    known, front, rest = _Known(module), _FrontBeside(module), _RestBeside(module)
    *to_front, first, dark, reference = known(frame, frame)
    seen, *cells = front(frame, *to_front)
    day, _ = rest(seen, first, dark, reference)
    graphs = [
        Graph("known", known, (frame, frame), BACKGROUNDS, (*_TO_FRONT, *_TO_REST)),
        Graph(
            "front",
            front,
            (frame, *to_front),
            ("frames", *_TO_FRONT),
            ("seen", "cells_lifted") if lifted else ("seen",),
        ),
        Graph(
            "rest",
            rest,
            (seen, first, dark, reference),
            ("seen", *_TO_REST),
            ("small" if lifted else "days", "trust"),
        ),
    ]
    if isinstance(module, Lifted):
        lift = Graph(
            "lift", _Lift(module), (frame, *cells, day), ("frames", "cells_lifted", "small"), ("days",)
        )
        graphs.append(lift)
    return graphs


class _Front(nn.Module):
    """uint8 frames to the generator's input."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.model = _in_strips(model)

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.see(from_bytes(frames))


class _Shrink(nn.Module):
    """The front of a lifted model: uint8 frames to the generator's input, and to what the lift needs of the night."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted
        self.model = _in_strips(lifted.model)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        small, cells = self.lifted.shrink(from_bytes(frames))
        return self.model.see(small), cells


class _Known(nn.Module):
    """What comes of a camera's backgrounds, uint8 (1, H, W, 3) by day and by night, whatever the night shows.

    Gives what the front takes (``Known`` but its ``seen``); and, of what the generator sees of them, what comes of it
    in the first convolution, which adds up its inputs, and what the picture is put together from.
    """

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        self.lifted = module if isinstance(module, Lifted) else None
        self.model = module.model if isinstance(module, Lifted) else module
        self.first = _first_convolution(self.model)[1]

    def forward(self, by_day: Tensor, by_night: Tensor) -> tuple[Tensor, ...]:
        backgrounds = [from_bytes(by_day), from_bytes(by_night)]
        if self.lifted is not None:  # whole grey levels, as other backends take them
            backgrounds = [from_bytes(to_bytes(self.lifted.small(picture))) for picture in backgrounds]
        *to_front, seen = self.model.known(*backgrounds)
        picture = 12 if self.model.settings.kind == "light" else 3
        return *to_front, self.first(seen), seen[:, :1], seen[:, -picture:]


class _FrontBeside(nn.Module):
    """The front of a model that takes backgrounds: a uint8 frame and what ``_Known`` gives to the generator's input.

    Where the model is lifted it also gives what the lift needs of the night.
    """

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        self.lifted = module if isinstance(module, Lifted) else None
        self.model = _with_fast_invariant(module.model if isinstance(module, Lifted) else module)

    def forward(
        self, frame: Tensor, gain: Tensor, night: Tensor, luma: Tensor, cells: Tensor
    ) -> tuple[Tensor, ...]:
        beside = Known(
            gain, night, luma, cells, seen=gain
        )  # what is seen of the backgrounds is not looked at
        if self.lifted is None:
            return (self.model.see_beside(from_bytes(frame), beside),)
        small, cells = self.lifted.shrink(from_bytes(frame))
        return self.model.see_beside(small, beside), cells


class _RestBeside(nn.Module):
    """The generator of a model that takes backgrounds: what the front and ``_Known`` give to uint8 day and trust."""

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        model = module.model if isinstance(module, Lifted) else module
        self.light = model.settings.kind == "light"
        layered = _folded(model)
        self.first = _first_convolution(model)[0]
        inner = layered.generator
        assert isinstance(inner, (ResnetGenerator, LightGenerator))
        make_plain(inner)
        if isinstance(inner, ResnetGenerator):
            _widen(inner)
        self.layered = layered

    def forward(self, seen: Tensor, first: Tensor, dark: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        before = self.layered.generator.after_first(self.first(seen) + first)  # type: ignore[operator]
        relit, evidence = (seen[:, :12], seen[:, -5:-1]) if self.light else (seen[:, :3], seen[:, -2:-1])
        day, trust = self.layered.compose(before, relit, evidence, seen[:, -1:], dark, reference)
        return to_bytes(day), to_bytes(trust)


def _folded(model: NightToDay) -> LayeredGenerator:
    layered = copy.deepcopy(model.generator)
    assert isinstance(layered, LayeredGenerator)
    fold_batch_norms(layered)
    return layered


def _first_convolution(model: NightToDay) -> tuple[nn.Sequential, nn.Sequential]:
    """The generator's first convolution, for the channels of the night and for those of the backgrounds.

    The sum of both is what it gives. The first has its bias.
    """
    inner = _folded(model).generator
    assert isinstance(inner, (ResnetGenerator, LightGenerator))
    before: list[nn.Module] = [inner.layers[0]] if isinstance(inner, ResnetGenerator) else []
    conv = inner.layers[1] if isinstance(inner, ResnetGenerator) else inner.to_half[0]
    assert isinstance(conv, nn.Conv2d)
    assert not isinstance(conv.padding, str)
    picture = 12 if isinstance(inner, LightGenerator) else 3
    backgrounds = 1 + 3 + picture  # darkness, n_ref, x_ref
    night = conv.in_channels - backgrounds
    parts = []
    for channels, bias in ((slice(night), conv.bias), (slice(night, None), None)):
        weight = conv.weight[:, channels].detach().clone()
        part = nn.Conv2d(
            int(weight.shape[1]),
            conv.out_channels,
            int(weight.shape[2]),
            padding=(int(conv.padding[0]), int(conv.padding[1])),
            bias=bias is not None,
        )
        part.weight = nn.Parameter(weight)
        if bias is not None:
            part.bias = nn.Parameter(bias.detach().clone())
        parts.append(nn.Sequential(*before, part).eval())
    return parts[0], parts[1]


def _with_fast_invariant(model: NightToDay) -> NightToDay:
    """The model with an invariant that is faster in OpenVINO."""
    model = _in_strips(model)
    if isinstance(model.invariant, ColorInvariant):
        model = copy.deepcopy(model)
        assert model.invariant is not None
        model.add_module("invariant", _WithinReach(model.invariant))
    return model


class _WithinReach(nn.Module):
    """The invariant without the taps that are practically zero."""

    def __init__(self, invariant: ColorInvariant) -> None:
        super().__init__()
        self.invariant = invariant
        self.reach = invariant.reach()

    def forward(self, rgb: Tensor) -> Tensor:
        padded = F.pad(rgb, (self.reach,) * 4, mode="replicate")
        edges = self.invariant.edges_within(padded, self.reach)
        return self.invariant.scaled(torch.log(edges + self.invariant.log_floor))


def _in_strips(model: NightToDay) -> NightToDay:
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


class _Rest(nn.Module):
    """The generator's input to uint8 frames, of any size."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.generator = copy.deepcopy(model.generator)
        make_plain(self.generator)
        for part in list(self.generator.modules()):
            if isinstance(part, ResnetGenerator):
                _widen(part)

    def forward(self, seen: Tensor) -> Tensor:
        return to_bytes(self.generator(seen) * 0.5 + 0.5)


def _widen(generator: ResnetGenerator) -> None:
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


class _Lift(nn.Module):
    """The end of a lifted model: uint8 frames, cells of the night, the small uint8 day → uint8 frames."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted

    def forward(self, frames: Tensor, cells: Tensor, day: Tensor) -> Tensor:
        height, width = self.lifted.size
        return to_bytes(self.lifted.lift(from_bytes(frames), cells, from_bytes(day[:, :height, :width])))
