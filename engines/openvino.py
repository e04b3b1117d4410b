"""OpenVINO on CPUs: one compiled graph for each picture size, any batch."""

from __future__ import annotations

import itertools
import threading
import warnings
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from engines.backends import Engine, EngineError, EngineInfo, Frames, Order, Precision, check_frames
from engines.generator import NightToDay, from_bytes, to_bytes

KEPT_SIZES = 8  # compiled graphs kept; cameras rarely have more sizes, and each holds its own buffers

# One for the process, never let go. Its CPU plugin gives the thread that first uses it another stack for signals, and
# takes the memory back with the Core: of two Cores the first to go left the main thread a stack that was no more, and
# the next SIGTERM or SIGHUP, which Python handles on it, ended the program with SIGSEGV.
_CORE = ov.Core()

_TYPES = {"fp32": "f32", "bf16": "bf16"}


def precisions() -> tuple[Precision, ...]:
    """bf16 where the CPU computes in it, and fp32."""
    return ("bf16", "fp32") if _can_bf16() else ("fp32",)


def version() -> str:
    """OpenVINO's."""
    return ov.__version__


def make(order: Order) -> Engine:
    """The engine that ``order`` asks for."""
    return OpenVinoEngine(order.model, name=order.name, precision=order.precision)


def _can_bf16() -> bool:
    return "BF16" in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class _See(nn.Module):
    """The model's front: uint8 frames to the generator's input."""

    def __init__(self, model: NightToDay) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.see(from_bytes(frames))


class _Draw(nn.Module):
    """The rest: the generator's input to uint8 frames of a size."""

    def __init__(self, model: NightToDay, size: tuple[int, int]) -> None:
        super().__init__()
        self.generator = model.generator
        self.size = size

    def forward(self, seen: Tensor) -> Tensor:
        height, width = self.size
        return to_bytes((self.generator(seen) * 0.5 + 0.5)[..., :height, :width])


class OpenVinoEngine:
    """The model compiled by OpenVINO for the CPU: one graph in fp32, two in bf16.

    OpenVINO lowers a whole graph to bf16, the invariant's ratios with it: on real nights C and N were then off
    by 84 % and 89 % at the 99th percentile. So the front keeps a graph of its own in fp32, which hands its
    output tensor to the generator's without a copy.

    Each picture size is traced and compiled once (about a second), by ``prepare`` or at its first frame, with the
    batch left open: a fixed batch is 8 % faster, but batches change from moment to moment and each would compile
    anew.
    """

    def __init__(self, model: NightToDay, *, name: str, precision: Precision) -> None:
        if precision == "bf16" and not _can_bf16():
            raise EngineError("precision bf16: this CPU does not compute in bfloat16; use fp32 or auto")
        if precision not in _TYPES:
            raise EngineError(f"precision {precision}: openvino runs {' or '.join(_TYPES)} on a CPU")
        self._model = model
        self._precision = precision
        self._requests: dict[tuple[int, int], list[Any]] = {}
        self._lock = threading.Lock()  # over _requests; never held while anything is compiled or run
        self._compiling = threading.Lock()  # the model is traced in one thread at a time
        self.info = EngineInfo("openvino", precision, name)

    def __call__(self, frames: Frames) -> Frames:
        """See ``Engine``."""
        check_frames(frames)
        return _infer(self._of(frames.shape[1], frames.shape[2]), frames).copy()

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``."""
        with self._lock:
            return (height, width) in self._requests

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``."""
        self._of(height, width)

    def _of(self, height: int, width: int) -> list[Any]:
        """The requests of a size, compiled if there are none."""
        size = (height, width)
        if (requests := self._known(size)) is None:
            with self._compiling:
                requests = self._known(size) or self._compile(size)
                _infer(requests, np.zeros((1, *size, 3), np.uint8))  # the first run is slower than the others
                with self._lock:
                    while len(self._requests) >= KEPT_SIZES:
                        del self._requests[next(iter(self._requests))]
                    self._requests[size] = requests
        return requests

    def _known(self, size: tuple[int, int]) -> list[Any] | None:
        with self._lock:
            requests = self._requests.pop(size, None)
            if (
                requests is not None
            ):  # last used goes last, so that the size dropped is the one unused for longest
                self._requests[size] = requests
            return requests

    def _compile(self, size: tuple[int, int]) -> list[Any]:
        frames = torch.zeros((1, *size, 3), dtype=torch.uint8)
        if self._precision == "fp32":
            return [self._request(self._model, frames, "fp32")]
        front = _See(self._model)
        with torch.inference_mode():
            seen = front(frames)
        return [self._request(front, frames, "fp32"), self._request(_Draw(self._model, size), seen, "bf16")]

    def _request(self, module: nn.Module, example: Tensor, precision: Precision) -> Any:
        with warnings.catch_warnings(), torch.inference_mode():
            # Tracing turns the size into constants, as intended: the graph is compiled for this size alone.
            warnings.simplefilter("ignore", TracerWarning)
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of what OpenVINO calls
            graph = ov.convert_model(module.eval(), example_input=example, input=[-1, *example.shape[1:]])
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _TYPES[precision]}
        return _CORE.compile_model(graph, "CPU", options).create_infer_request()


def _infer(requests: list[Any], frames: Frames) -> Frames:
    """Run the graphs one after the other; the result lies in the last one's own memory."""
    requests[0].infer([np.ascontiguousarray(frames)], share_inputs=True)
    for before, after in itertools.pairwise(requests):
        after.set_input_tensor(before.get_output_tensor())
        after.infer()
    return requests[-1].get_output_tensor().data
