"""Compiled graphs in memory: loaded from their folder, connected to each other, and run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Requests:
    """The graphs of a size, connected: each reads the outputs of those before it where they lie. For one thread.

    Attributes:
        requests: OpenVINO's inference requests, in their order.
        of_frames: those that take the frame itself, with the number of that input.
    """

    requests: tuple[Any, ...]
    of_frames: tuple[tuple[Any, int], ...]

    def run(self, frame: NDArray[np.uint8], day: NDArray[np.uint8]) -> None:
        """Translate contiguous uint8 (1, H, W, 3) into ``day``, the same shape."""
        tensor = ov.Tensor(frame, shared_memory=True)
        for request, i in self.of_frames:
            request.set_input_tensor(i, tensor)
        for request in self.requests:
            request.infer()
        day[:] = self.requests[-1].get_output_tensor(0).data[:, : day.shape[1], : day.shape[2]]


@dataclass(frozen=True, slots=True)
class SizeRequests:
    """What a picture size was compiled to; any number of threads may use it.

    Attributes:
        all_cores: runs a frame on all cores.
        all_cores_lock: held while it does.
        one_core: those that are free of the requests that run a frame on one core each, side by side. None where
            there is one core, or too many.
    """

    all_cores: Requests
    all_cores_lock: threading.Lock
    one_core: SimpleQueue[Requests] | None

    def run_on_all_cores(self, frame: Frames, day: Frames) -> None:
        """``Requests.run`` on all cores."""
        with self.all_cores_lock:
            self.all_cores.run(frame, day)

    def run_on_one_core(self, frame: Frames, day: Frames) -> None:
        """``Requests.run`` on one core, as soon as one is free."""
        assert self.one_core is not None
        requests = self.one_core.get()
        try:
            requests.run(frame, day)
        finally:
            self.one_core.put(requests)


def load_size(
    graphs: Sequence[Graph], size: Size, folder: Path, *, precision: str, at_once: int
) -> SizeRequests:
    """Load what ``build`` wrote for ``graphs`` to ``folder``; ``at_once`` requests of one core each, if not 1."""
    all_cores = _load(graphs, size, folder, precision, ALL_CORES)
    if at_once == 1:
        return SizeRequests(all_cores, threading.Lock(), None)
    one_core: SimpleQueue[Requests] = SimpleQueue()
    for _ in range(at_once):
        one_core.put(_load(graphs, size, folder, precision, ONE_CORE))
    return SizeRequests(all_cores, threading.Lock(), one_core)


def _load(graphs: Sequence[Graph], size: Size, folder: Path, precision: str, cores: Cores) -> Requests:
    tensors: dict[str, ov.Tensor] = {}
    made, of_frames = [], []
    for graph in graphs:
        data = compiled_file(folder, graph, cores).read_bytes()
        request = CORE.import_model(data, "CPU", options(graph, cores, precision)).create_infer_request()
        for i, name in enumerate(graph.takes):
            if name == "frames":
                of_frames.append((request, i))
            else:
                request.set_input_tensor(i, tensors[name])
        tensors |= {name: request.get_output_tensor(i) for i, name in enumerate(graph.gives)}
        made.append(request)
    requests = Requests(tuple(made), tuple(of_frames))
    blank = np.zeros((1, *size, 3), np.uint8)
    requests.run(blank, blank.copy())  # the first run is slower than the others
    return requests
