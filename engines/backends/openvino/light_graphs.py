"""The graphs of a light model where compiled code makes the generator's input and puts its picture together."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.blocks import fold_batch_norms
from ...model.generator import Known, NightToDay, from_bytes, to_bytes
from ...model.layers import BlendedGenerator
from ...model.lift import Lifted
from ...model.networks import LightGenerator
from .beside import BACKGROUNDS, TO_FRONT, TO_REST, DrawBeside, EndBeside, KnownBackgrounds
from .graph import SQUARES, Graph, GraphName, Lift
from .regions import sizes

Names = tuple[str, ...]


def light_graphs(module: NightToDay | Lifted, frame: Tensor, *, squares: bool) -> list[Graph]:
    """``graphs_for`` of a model that compiled code ``runs``, and an example of a frame, uint8 (1, H, W, 3).

    Those that compiled code stands for say what it computes.
    """
    lifted = module if isinstance(module, Lifted) else None
    graphs: list[Graph] = []
    given: dict[str, Tensor] = {"frames": frame, "day_background": frame, "night_background": frame}

    def graph(name: GraphName, part: nn.Module, takes: Names, gives: Names, *, native: bool = False) -> None:
        examples = tuple(given[one] for one in takes)
        made = part.eval()(*examples)
        given.update(zip(gives, made if isinstance(made, tuple) else (made,), strict=True))
        graphs.append(Graph(name, part, examples, takes, gives, native=native))

    model = module.model if isinstance(module, Lifted) else module
    if lifted is not None:
        graph("shrink", _Shrink(lifted), ("frames",), ("small_night", "cells_lifted"), native=True)
    night, day = ("small_night", "small") if lifted is not None else ("frames", "days")
    if model.settings.backgrounds:
        graph("known", KnownBackgrounds(module), BACKGROUNDS, (*TO_FRONT, *TO_REST))
        graph("front", _FrontBeside(model), (night, *TO_FRONT), ("seen",), native=True)
        graph("rest", DrawBeside(module), ("seen", "first"), ("before",))
        whole = int(given["seen"].shape[-2]), int(given["seen"].shape[-1])
        for name, (height, width) in zip(SQUARES, sizes(whole) if squares else (), strict=False):
            parts = tuple(given[one][..., :height, :width].contiguous() for one in ("seen", "first"))
            graphs.append(Graph(name, graphs[-1].module, parts, ("seen", "first"), ("before",)))
        graph("end", EndBeside(module), ("before", "seen", "dark", "reference"), (day, "trust"), native=True)
    else:
        graph("front", _Front(model), (night,), ("seen",), native=True)
        graph("rest", _Draw(model), ("seen",), ("before",))
        graph("end", _End(model), ("before", "seen"), (day,), native=True)
    if lifted is not None:
        height, width = lifted.size
        given["small"] = given["small"][:, :height, :width]  # compiled code writes no more
        graph("line", _Line(lifted), ("cells_lifted", "small"), ("line",))
        graph("lift", Lift(lifted), ("frames", "cells_lifted", "small"), ("days",), native=True)
    return graphs


class _Shrink(nn.Module):
    """uint8 frames to what is translated, float (1, 3, h, w) in [0, 1], and to what the lift needs of the night."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self.lifted.shrink(from_bytes(frames))


class _Line(nn.Module):
    """What the lift needs of the night, and the small uint8 day, to a and b of the lines."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted

    def forward(self, cells: Tensor, day: Tensor) -> Tensor:
        return self.lifted.line(cells, from_bytes(day))


class _Front(nn.Module):
    """Frames, or what they were shrunk to, to the generator's input."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.model = model

    def forward(self, night: Tensor) -> Tensor:
        return self.model.see(_as_floats(night))


class _FrontBeside(nn.Module):
    """The same beside backgrounds."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.model = model

    def forward(self, night: Tensor, gain: Tensor, usual: Tensor, luma: Tensor, cells: Tensor) -> Tensor:
        return self.model.see_beside(_as_floats(night), Known(gain, usual, luma, cells, seen=gain))


class _Draw(nn.Module):
    """The generator's input to what it gives before its last layer."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        generator = model.generator
        inner = copy.deepcopy(generator.generator if isinstance(generator, BlendedGenerator) else generator)
        assert isinstance(inner, LightGenerator)
        fold_batch_norms(inner)
        self.inner = inner

    def forward(self, seen: Tensor) -> Tensor:
        return self.inner.after_first(self.inner.first(seen))


class _End(nn.Module):
    """The last layer, to uint8 frames."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.blended = isinstance(model.generator, BlendedGenerator)

    def forward(self, before: Tensor, seen: Tensor) -> Tensor:
        made = F.pixel_shuffle(before, 2).tanh() * 0.5 + 0.5
        if self.blended:
            reference = F.pixel_shuffle(seen[:, -12:], 2) * 0.5 + 0.5
            made = reference + made[:, 3:] * (made[:, :3] - reference)
        return to_bytes(made)


def _as_floats(night: Tensor) -> Tensor:
    return from_bytes(night) if night.dtype == torch.uint8 else night
