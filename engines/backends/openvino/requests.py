"""Compiled graphs in memory: loaded from their folder, connected to each other, and run."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..base import Frames
from ..compiled_sizes import Size
from .build import ALL_CORES, CORE, ONE_CORE, Cores, compiled_file, options
from .graphs import Graph

Known = Mapping[str, Any]
"""What the graph of backgrounds made of a pair of them: OpenVINO's tensors by name. Empty for models without."""


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

    def run(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> None:
        """Translate contiguous uint8 (1, H, W, 3) into ``day``, the same shape, and ``trust``, where there is any."""
        for name, tensor in {"frames": ov.Tensor(frame, shared_memory=True), **known}.items():
            for request, i in self.given[name]:
                request.set_input_tensor(i, tensor)
        for request in self.requests:
            request.infer()
        day[:] = self.requests[-1].get_output_tensor(0).data[:, : day.shape[1], : day.shape[2]]
        if trust is not None:
            trust[:] = self.trust.data[:, : trust.shape[1], : trust.shape[2]]


@dataclass(frozen=True, slots=True)
class SizeRequests:
    """What a picture size was compiled to; any number of threads may use it.

    Attributes:
        all_cores: runs a frame on all cores.
        all_cores_lock: held while it does.
        one_core: those that are free of the requests that run a frame on one core each, side by side. None where
            there is one core, or too many.
        background: runs the graph of backgrounds, with the names of what it gives; None for models without.
        background_lock: held while it does.
        size: (height, width) at which frames are translated.
    """

    all_cores: Requests
    all_cores_lock: threading.Lock
    one_core: SimpleQueue[Requests] | None
    background: tuple[Any, tuple[str, ...]] | None
    background_lock: threading.Lock
    size: Size

    def run_on_all_cores(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> None:
        """``Requests.run`` on all cores."""
        with self.all_cores_lock:
            self.all_cores.run(frame, known, day, trust)

    def run_on_one_core(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> None:
        """``Requests.run`` on one core, as soon as one is free."""
        assert self.one_core is not None
        requests = self.one_core.get()
        try:
            requests.run(frame, known, day, trust)
        finally:
            self.one_core.put(requests)

    def known(self, by_day: NDArray[np.uint8], by_night: NDArray[np.uint8]) -> Known:
        """What comes of a pair of backgrounds, uint8 (H, W, 3) each."""
        assert self.background is not None
        request, names = self.background
        with self.background_lock:
            # Copies, as OpenVINO takes no memory that it may not write to; they must live until it has run.
            batches = [np.array(picture)[None] for picture in (by_day, by_night)]
            for i, batch in enumerate(batches):
                request.set_input_tensor(i, ov.Tensor(batch, shared_memory=True))
            request.infer()
            return {
                name: ov.Tensor(request.get_output_tensor(i).data)  # in memory of its own
                for i, name in enumerate(names)
            }


def load_size(
    graphs: Sequence[Graph], size: Size, inner: Size, folder: Path, *, precision: str, at_once: int
) -> SizeRequests:
    """Load what ``build`` wrote for ``graphs`` to ``folder``; ``at_once`` requests of one core each, if not 1.

    ``inner`` is the size at which frames of ``size`` are translated.
    """
    framed = [graph for graph in graphs if graph.name != "known"]
    background, blank = None, {}
    for graph in graphs:
        if graph.name == "known":
            background = _request(graph, folder, precision, ALL_CORES), graph.gives
            shapes = [background[0].get_output_tensor(i).shape for i in range(len(graph.gives))]
            blank = {
                name: ov.Tensor(np.zeros(shape, np.float32))
                for name, shape in zip(graph.gives, shapes, strict=True)
            }
    all_cores = _load(framed, size, folder, precision, ALL_CORES, blank)
    one_core: SimpleQueue[Requests] | None = None
    if at_once > 1:
        one_core = SimpleQueue()
        for _ in range(at_once):
            one_core.put(_load(framed, size, folder, precision, ONE_CORE, blank))
    return SizeRequests(all_cores, threading.Lock(), one_core, background, threading.Lock(), inner)


def _request(graph: Graph, folder: Path, precision: str, cores: Cores) -> Any:
    data = compiled_file(folder, graph, cores).read_bytes()
    return CORE.import_model(data, "CPU", options(graph, cores, precision)).create_infer_request()


def _load(
    graphs: Sequence[Graph], size: Size, folder: Path, precision: str, cores: Cores, blank: Known
) -> Requests:
    tensors: dict[str, ov.Tensor] = {}
    made, given = [], defaultdict[str, list[tuple[Any, int]]](list)
    for graph in graphs:
        request = _request(graph, folder, precision, cores)
        for i, name in enumerate(graph.takes):
            if name in tensors:
                request.set_input_tensor(i, tensors[name])
            else:
                given[name].append((request, i))
        tensors |= {name: request.get_output_tensor(i) for i, name in enumerate(graph.gives)}
        made.append(request)
    requests = Requests(tuple(made), dict(given), tensors.get("trust"))
    frame = np.zeros((1, *size, 3), np.uint8)
    requests.run(frame, blank, frame.copy(), None)  # the first run is slower than the others
    return requests
