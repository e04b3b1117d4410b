"""Compiled graphs in memory, connected to each other, and run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..base import Frames
from .graph import Graph

Known = Mapping[str, Any]
"""What was made of a pair of backgrounds, by name: OpenVINO's tensors, and arrays for compiled code. Empty for models
without."""


class Runs(Protocol):
    """Everything that a frame of one size goes through. For one thread."""

    def run(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> float:
        """Translate contiguous uint8 (1, H, W, 3) into ``day``, the same shape, and ``trust``, where there is any.

        Gives on which share of the picture the generator ran, [0, 1].
        """
        ...


@dataclass(frozen=True, slots=True)
class Requests:
    """The graphs of a size, connected: each reads the outputs of those before it where they lie. For one thread.

    Attributes:
        requests: OpenVINO's inference requests, in their order.
        given: those inputs that come from outside, by name: requests, with the number of that input.
        trust: the tensor of what to make of the picture, of a model that takes backgrounds.
    """

    requests: tuple[Any, ...]
    given: Mapping[str, Sequence[tuple[Any, int]]]
    trust: Any = None

    @classmethod
    def connected(cls, graphs: Sequence[Graph], requests: Mapping[str, Any]) -> Requests:
        """Of OpenVINO's requests by the names of their graphs."""
        tensors: dict[str, ov.Tensor] = {}
        given = defaultdict[str, list[tuple[Any, int]]](list)
        for graph in graphs:
            request = requests[graph.name]
            for i, name in enumerate(graph.takes):
                if name in tensors:
                    request.set_input_tensor(i, tensors[name])
                else:
                    given[name].append((request, i))
            tensors |= {name: request.get_output_tensor(i) for i, name in enumerate(graph.gives)}
        return cls(tuple(requests[graph.name] for graph in graphs), dict(given), tensors.get("trust"))

    def run(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> float:
        """See ``Runs``."""
        for name, tensor in {"frames": ov.Tensor(frame, shared_memory=True), **known}.items():
            for request, i in self.given[name]:
                request.set_input_tensor(i, tensor)
        for request in self.requests:
            request.infer()
        day[:] = self.requests[-1].get_output_tensor(0).data[:, : day.shape[1], : day.shape[2]]
        if trust is not None:
            trust[:] = self.trust.data[:, : trust.shape[1], : trust.shape[2]]
        return 1.0


@dataclass(frozen=True, slots=True)
class BackgroundRequest:
    """The graph of backgrounds. For one thread at a time.

    Attributes:
        request: OpenVINO's.
        names: of what it gives.
    """

    request: Any
    names: tuple[str, ...]

    def known(self, by_day: NDArray[np.uint8], by_night: NDArray[np.uint8]) -> Known:
        """What comes of a pair of backgrounds, uint8 (H, W, 3) each: OpenVINO's tensors."""
        # Copies, as OpenVINO takes no memory that it may not write to; they must live until it has run.
        batches = [np.array(picture)[None] for picture in (by_day, by_night)]
        for i, batch in enumerate(batches):
            self.request.set_input_tensor(i, ov.Tensor(batch, shared_memory=True))
        self.request.infer()
        return {
            name: ov.Tensor(self.request.get_output_tensor(i).data)  # in memory of its own
            for i, name in enumerate(self.names)
        }
