"""The graphs that a model is given to OpenVINO as, so that a part stays fp32 while the generator need not."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...model.blocks import make_plain
from ...model.generator import NightToDay, from_bytes, to_bytes
from ...model.lift import Lifted, module_for
from ...model.networks import ResnetGenerator
from ...native import light
from .beside import BACKGROUNDS, TO_FRONT, TO_REST, FrontBeside, KnownBackgrounds, RestBeside
from .fast_parts import in_strips, widen
from .graph import Graph, Lift
from .light_graphs import light_graphs


def reuses(model: NightToDay) -> bool:
    """Whether the model's generator may be left out where a picture does not differ from its camera's backgrounds."""
    return model.settings.backgrounds and light.runs(model)


def graphs_for(model: NightToDay, height: int, width: int, *, squares: bool = False) -> list[Graph]:
    """The graphs for one frame of a size, in their order.

    The front makes the generator's input, the rest is the generator, and for large frames the lift brings back the
    edges. The front pads the picture on the right and below, and the generator's days are as large as that.

    A model that takes backgrounds has a graph before these, which is run once for each pair of backgrounds.

    Of a light model compiled code of ours makes the generator's input and puts the picture together, where there is
    such code. With ``squares`` a model that ``reuses`` has its generator for parts of a picture, too.
    """
    module = module_for(model, height, width)
    frame = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        if light.runs(model):
            return light_graphs(module, frame, squares=squares)
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
            Graph("lift", Lift(module), (frame, cells, rest(seen)), ("frames", "cells", "small"), ("days",)),
        ]


def _graphs_beside(module: NightToDay | Lifted, frame: Tensor) -> list[Graph]:
    """``graphs_for`` of a model that takes backgrounds."""
    lifted = isinstance(module, Lifted)
    known, front, rest = KnownBackgrounds(module), FrontBeside(module), RestBeside(module)
    *to_front, first, dark, reference = known(frame, frame)
    seen, *cells = front(frame, *to_front)
    day, _ = rest(seen, first, dark, reference)
    graphs = [
        Graph("known", known, (frame, frame), BACKGROUNDS, (*TO_FRONT, *TO_REST)),
        Graph(
            "front",
            front,
            (frame, *to_front),
            ("frames", *TO_FRONT),
            ("seen", "cells_lifted") if lifted else ("seen",),
        ),
        Graph(
            "rest",
            rest,
            (seen, first, dark, reference),
            ("seen", *TO_REST),
            ("small" if lifted else "days", "trust"),
        ),
    ]
    if isinstance(module, Lifted):
        lift = Graph(
            "lift", Lift(module), (frame, *cells, day), ("frames", "cells_lifted", "small"), ("days",)
        )
        graphs.append(lift)
    return graphs


class _Front(nn.Module):
    """uint8 frames to the generator's input."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.model = in_strips(model)

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.see(from_bytes(frames))


class _Shrink(nn.Module):
    """The front of a lifted model: uint8 frames to the generator's input, and to what the lift needs of the night."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted
        self.model = in_strips(lifted.model)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        small, cells = self.lifted.shrink(from_bytes(frames))
        return self.model.see(small), cells


class _Rest(nn.Module):
    """The generator's input to uint8 frames, of any size."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.generator = copy.deepcopy(model.generator)
        make_plain(self.generator)
        for part in list(self.generator.modules()):
            if isinstance(part, ResnetGenerator):
                widen(part)

    def forward(self, seen: Tensor) -> Tensor:
        return to_bytes(self.generator(seen) * 0.5 + 0.5)
