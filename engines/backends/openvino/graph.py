"""One graph of a model, and the last one of models that lift large frames."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import openvino as ov
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from ...model.generator import from_bytes, to_bytes
from ...model.lift import Lifted

# "known" is what comes of the backgrounds alone, "rest" is the generator, and "square 0" and so on are the generator
# for parts of a picture. The names are part of file names in users' caches.
GraphName = Literal["shrink", "known", "front", "rest", "square 0", "square 1", "end", "line", "lift"]
SQUARES: tuple[GraphName, ...] = ("square 0", "square 1")


@dataclass(frozen=True, slots=True)
class Graph:
    """One of a model's graphs for frames of a size.

    Attributes:
        name: which of them.
        module: the same as a module of PyTorch's.
        examples: inputs of the shapes that it is compiled for.
        takes: the names of its inputs.
        gives: the names of its outputs, some of which the graphs after it take.
        native: whether compiled code of ours computes it in place of OpenVINO.
    """

    name: GraphName
    module: nn.Module
    examples: tuple[Tensor, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    native: bool = False

    @property
    def draws(self) -> bool:
        """Whether it is the generator, which need not compute in fp32."""
        return self.name == "rest" or self.name in SQUARES

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


class Lift(nn.Module):
    """The end of a lifted model: uint8 frames, cells of the night, the small uint8 day → uint8 frames."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted

    def forward(self, frames: Tensor, cells: Tensor, day: Tensor) -> Tensor:
        """See the class."""
        height, width = self.lifted.size
        return to_bytes(self.lifted.lift(from_bytes(frames), cells, from_bytes(day[:, :height, :width])))
