"""OpenVINO on CPUs: one compiled graph for each picture size, any batch."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from engines.backends import Engine, EngineError, EngineInfo, Frames, Order, Precision, check_frames
from engines.generator import NightToDay, from_bytes, to_bytes
from engines.lift import Lifted, module_for

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


class _Shrink(nn.Module):
    """The front of a lifted model: uint8 frames to the generator's input, and to what the lift wants to know."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        small, clues = self.lifted.shrink(from_bytes(frames))
        return self.lifted.model.see(small), clues


class _Lift(nn.Module):
    """The end of a lifted model: uint8 frames, what the lift wants to know, the small uint8 day → uint8 frames."""

    def __init__(self, lifted: Lifted) -> None:
        super().__init__()
        self.lifted = lifted

    def forward(self, frames: Tensor, clues: Tensor, day: Tensor) -> Tensor:
        return to_bytes(self.lifted.lift(from_bytes(frames), clues, from_bytes(day)))


@dataclass(frozen=True, slots=True)
class _Part:
    """A compiled graph, and the names of what it takes and gives."""

    request: Any
    takes: tuple[str, ...]
    gives: tuple[str, ...]


class OpenVinoEngine:
    """The model compiled by OpenVINO for the CPU: one graph in fp32, two in bf16, three where it is lifted too.

    OpenVINO lowers a whole graph to bf16, the invariant's ratios with it: on real nights C and N were then off
    by 84 % and 89 % at the 99th percentile. So the front keeps a graph of its own in fp32, which hands its
    output tensor to the generator's without a copy. The lift multiplies the full picture by what it finds at the
    small size, and stays fp32 as well.

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
        self._requests: dict[tuple[int, int], list[_Part]] = {}
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

    def _of(self, height: int, width: int) -> list[_Part]:
        """The graphs of a size, compiled if there are none."""
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

    def _known(self, size: tuple[int, int]) -> list[_Part] | None:
        with self._lock:
            requests = self._requests.pop(size, None)
            if (
                requests is not None
            ):  # last used goes last, so that the size dropped is the one unused for longest
                self._requests[size] = requests
            return requests

    def _compile(self, size: tuple[int, int]) -> list[_Part]:
        module = module_for(self._model, *size)
        frames = torch.zeros((1, *size, 3), dtype=torch.uint8)
        if self._precision == "fp32":
            return [_Part(self._request(module, (frames,), "fp32"), ("frames",), ("days",))]
        with torch.inference_mode():
            if not isinstance(module, Lifted):
                front, draw = _See(self._model), _Draw(self._model, size)
                return [
                    _Part(self._request(front, (frames,), "fp32"), ("frames",), ("seen",)),
                    _Part(self._request(draw, (front(frames),), "bf16"), ("seen",), ("days",)),
                ]
            shrink, draw, lift = _Shrink(module), _Draw(self._model, module.size), _Lift(module)
            seen, clues = shrink(frames)
            small = torch.zeros((1, *module.size, 3), dtype=torch.uint8)
            return [
                _Part(self._request(shrink, (frames,), "fp32"), ("frames",), ("seen", "clues")),
                _Part(self._request(draw, (seen,), "bf16"), ("seen",), ("small",)),
                _Part(
                    self._request(lift, (frames, clues, small), "fp32"),
                    ("frames", "clues", "small"),
                    ("days",),
                ),
            ]

    def _request(self, module: nn.Module, examples: tuple[Tensor, ...], precision: Precision) -> Any:
        with warnings.catch_warnings(), torch.inference_mode():
            # Tracing turns the size into constants, as intended: the graph is compiled for this size alone.
            warnings.simplefilter("ignore", TracerWarning)
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of what OpenVINO calls
            shapes = [[-1, *example.shape[1:]] for example in examples]
            graph = ov.convert_model(module.eval(), example_input=examples, input=shapes)
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _TYPES[precision]}
        return _CORE.compile_model(graph, "CPU", options).create_infer_request()


def _infer(parts: list[_Part], frames: Frames) -> Frames:
    """Run the graphs one after the other; the result lies in the last one's own memory."""
    tensors = {"frames": ov.Tensor(np.ascontiguousarray(frames), shared_memory=True)}
    for part in parts:
        for i, name in enumerate(part.takes):
            part.request.set_input_tensor(i, tensors[name])
        part.request.infer()
        for i, name in enumerate(part.gives):
            tensors[name] = part.request.get_output_tensor(i)
    return tensors["days"].data
