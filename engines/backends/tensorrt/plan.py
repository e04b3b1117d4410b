"""Runs one serialised TensorRT engine (a "plan"): its buffers, contexts and CUDA graphs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...errors import NightdayError

log = logging.getLogger(__name__)


class PlanError(NightdayError, RuntimeError):
    """TensorRT cannot load or run a plan. The message is one line."""


class _Edge:
    """An input or output of a plan, and its memory as bytes and as floats, (``most``, H, W, 3) each."""

    def __init__(self, name: str, most: int, size: tuple[int, int], device: torch.device) -> None:
        self.name = name
        self.bytes = torch.zeros((most, *size, 3), dtype=torch.uint8, device=device)
        self.floats = torch.zeros((most, *size, 3), device=device)


class Plan:
    """A plan on the current GPU, for pictures of one size in batches of 1 to ``max_batch``.

    Each batch size gets an execution context and a CUDA graph of its own when it is first seen, because a graph
    becomes invalid once the shape of its context changes. All contexts share one scratch memory, so one batch runs at
    a time; calls may come from several threads and wait for each other.

    Args:
        trt: the ``tensorrt`` or ``tensorrt_rtx`` module.
        data: the serialised engine; float32 (N, H, W, 3) in and out, any N.
        takes: (H, W) of each of its inputs, in their order.
        gives: (H, W) of each of its outputs.
        max_batch: the largest N of its profile.
        device: where it runs.

    Raises:
        PlanError: TensorRT refuses ``data``.
    """

    def __init__(
        self,
        trt: Any,
        data: bytes,
        *,
        takes: Sequence[tuple[int, int]],
        gives: Sequence[tuple[int, int]],
        max_batch: int,
        device: torch.device,
    ) -> None:
        self._trt = trt
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))  # must outlive the engine
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise PlanError(f"TensorRT {trt.__version__} refuses a plan of {len(data)} bytes")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        self.max_batch = max_batch
        # Bytes are converted to floats and back outside the plan, as a network with uint8 input does not convert.
        self._inputs = [
            _Edge(name, max_batch, size, device) for name, size in zip(inputs, takes, strict=True)
        ]
        self._outputs = [
            _Edge(name, max_batch, size, device) for name, size in zip(outputs, gives, strict=True)
        ]
        size_of_scratch = max(1, self._engine.device_memory_size_v2)
        self._scratch = torch.empty(size_of_scratch, dtype=torch.uint8, device=device)
        new_stream: Callable[[torch.device], torch.cuda.Stream] = torch.cuda.Stream  # untyped by itself
        self._stream = new_stream(device)
        self._steps: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Do what takes time at the first run of single frames and of full batches."""
        for count in {1, self.max_batch}:
            self(*(torch.zeros_like(edge.bytes[:count]) for edge in self._inputs))

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Uint8 (N, H, W, 3) for each input, N ≤ ``max_batch``, on any device → each output there, in new memory.

        On the GPU the results are ordered on the caller's stream, and nothing waits for them.
        """
        count, where = len(given[0]), given[0].device
        with self._lock:
            if not given[0].is_cuda:
                with torch.cuda.stream(self._stream):
                    self._run(given)
                    return tuple(edge.bytes[:count].to(where, copy=True) for edge in self._outputs)
            callers = torch.cuda.current_stream(where)
            self._stream.wait_stream(callers)
            with torch.cuda.stream(self._stream):
                self._run(given)
                made = tuple(edge.bytes[:count].clone() for edge in self._outputs)
            callers.wait_stream(self._stream)
            for one in made:
                one.record_stream(callers)
            return made

    def _run(self, given: Sequence[Tensor]) -> None:
        count = len(given[0])
        for edge, one in zip(self._inputs, given, strict=True):
            edge.bytes[:count].copy_(one)
        self._step(count)()

    def _step(self, count: int) -> Callable[[], None]:
        """The function that computes the first ``count`` frames of the outputs' bytes, on the current stream."""
        if count not in self._steps:
            self._steps[count] = self._captured(self._context(count), count)
        return self._steps[count]

    def _context(self, count: int) -> Any:
        trt = self._trt
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        # TensorRT-RTX compiles kernels while it runs.
        if hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
            config = self._engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(strategy)
            # With "lazy", the default, kernels would be replaced after a graph has been captured with the old ones.
            config.dynamic_shapes_kernel_specialization_strategy = (
                trt.DynamicShapesKernelSpecializationStrategy.EAGER
            )
            context = self._engine.create_execution_context(config)
        else:
            context = self._engine.create_execution_context(strategy)
        if context is None:
            raise PlanError(
                f"TensorRT {trt.__version__} makes no execution context; is the GPU's memory full?"
            )
        context.set_device_memory(self._scratch.data_ptr(), self._scratch.numel())
        for edge in self._inputs:
            context.set_input_shape(edge.name, tuple(edge.floats[:count].shape))
        for edge in (*self._inputs, *self._outputs):
            context.set_tensor_address(edge.name, edge.floats.data_ptr())
        return context

    def _captured(self, context: Any, count: int) -> Callable[[], None]:
        """One run of ``context``, from bytes to bytes, as a CUDA graph where it can be captured."""
        stream = self._stream

        def run() -> None:
            for edge in self._inputs:
                edge.floats[:count].copy_(edge.bytes[:count])
            if not context.execute_async_v3(stream.cuda_stream):
                raise RuntimeError("TensorRT failed to run its engine")
            for edge in self._outputs:
                edge.bytes[:count].copy_(edge.floats[:count])

        # The first run after a change of shape also sets things up, which must not become part of the graph.
        run()
        stream.synchronize()
        if hasattr(context, "is_stream_capturable") and not context.is_stream_capturable(stream.cuda_stream):
            return run
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads go on using the GPU meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                run()
        except RuntimeError as error:
            log.warning("batches of %d run without a CUDA graph: %s", count, str(error).partition("\n")[0])
            return run

        def replay() -> None:
            graph.replay()
            _ = context  # kept alive: the graph is invalid without it

        return replay
