"""OpenVINO on CPUs: one compiled graph for each picture size, any batch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch.jit._trace import TracerWarning

from engines.backends import EngineError, EngineInfo, Frames, Precision, check_frames
from engines.generator import NightToDay

KEPT_SIZES = 8  # compiled graphs kept; cameras rarely have more sizes, and each holds its own buffers

_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """The model compiled by OpenVINO for the CPU.

    Each picture size is traced and compiled at its first frame (about a second) with the batch left open: a
    fixed batch is 8 % faster, but batches change from moment to moment and each would compile anew.
    """

    def __init__(self, model: NightToDay, *, name: str, precision: Precision) -> None:
        self._core = ov.Core()
        can_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "auto":
            precision = "bf16" if can_bf16 else "fp32"
        if precision == "bf16" and not can_bf16:
            raise EngineError("precision bf16: this CPU does not compute in bfloat16; use fp32 or auto")
        if precision not in _TYPES:
            raise EngineError(f"precision {precision}: openvino runs {' or '.join(_TYPES)} on a CPU")
        self._model = model
        self._precision = precision
        self._requests: dict[tuple[int, int], Any] = {}
        self.info = EngineInfo("openvino", precision, name)

    def __call__(self, frames: Frames) -> Frames:
        """See ``Engine``."""
        check_frames(frames)
        size = (frames.shape[1], frames.shape[2])
        # Last used goes last, so that the size dropped is the one unused for longest.
        request = self._requests.pop(size, None) or self._compile(size)
        self._requests[size] = request
        request.infer([np.ascontiguousarray(frames)], share_inputs=True)
        return request.get_output_tensor().data.copy()

    def _compile(self, size: tuple[int, int]) -> Any:
        while len(self._requests) >= KEPT_SIZES:
            del self._requests[next(iter(self._requests))]
        example = torch.zeros((1, *size, 3), dtype=torch.uint8)
        with warnings.catch_warnings(), torch.inference_mode():
            # Tracing turns the size into constants, as intended: the graph is compiled for this size alone.
            warnings.simplefilter("ignore", TracerWarning)
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of what OpenVINO calls
            graph = ov.convert_model(self._model, example_input=example, input=[-1, *size, 3])
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _TYPES[self._precision]}
        return self._core.compile_model(graph, "CPU", options).create_infer_request()
