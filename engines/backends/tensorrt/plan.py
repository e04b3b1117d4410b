"""Runs one serialised TensorRT engine (a "plan"): its buffers, contexts and CUDA graphs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...errors import NightdayError

log = logging.getLogger(__name__)


class PlanError(NightdayError, RuntimeError):
    """TensorRT cannot load or run a plan. The message is one line."""


class Plan:
    """A plan on the current GPU, for pictures of one size in batches of 1 to ``max_batch``.

    Each batch size gets an execution context and a CUDA graph of its own when it is first seen, because a graph
    becomes invalid once the shape of its context changes. All contexts share one scratch memory, so one batch runs at
    a time; calls may come from several threads and wait for each other.

    Args:
        trt: the ``tensorrt`` or ``tensorrt_rtx`` module.
        data: the serialised engine; float32 (N, H, W, 3) in and out, any N.
        size: (H, W).
        max_batch: the largest N of its profile.
        device: where it runs.

    Raises:
        PlanError: TensorRT refuses ``data``.
    """

    def __init__(
        self, trt: Any, data: bytes, *, size: tuple[int, int], max_batch: int, device: torch.device
    ) -> None:
        self._trt = trt
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))  # must outlive the engine
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise PlanError(f"TensorRT {trt.__version__} refuses a plan of {len(data)} bytes")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._input, self._output = sorted(
            names, key=lambda name: self._engine.get_tensor_mode(name) != trt.TensorIOMode.INPUT
        )
        self.max_batch = max_batch
        shape = (max_batch, *size, 3)
        # Bytes are converted to floats and back outside the plan, as a network with uint8 input does not convert.
        self._bytes_in, self._bytes_out = (torch.zeros(shape, dtype=torch.uint8, device=device) for _ in "io")
        self._floats_in, self._floats_out = (torch.zeros(shape, device=device) for _ in "io")
        size_of_scratch = max(1, self._engine.device_memory_size_v2)
        self._scratch = torch.empty(size_of_scratch, dtype=torch.uint8, device=device)
        new_stream: Callable[[torch.device], torch.cuda.Stream] = torch.cuda.Stream  # untyped by itself
        self._stream = new_stream(device)
        self._steps: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Do what takes time at the first run of single frames and of full batches."""
        for count in {1, self.max_batch}:
            self(torch.zeros_like(self._bytes_in[:count]))

    def __call__(self, frames: Tensor) -> Tensor:
        """Uint8 (N, H, W, 3), N ≤ ``max_batch``, on any device → the same on that device, in new memory.

        On the GPU the result is ordered on the caller's stream, and nothing waits for it.
        """
        count = len(frames)
        with self._lock:
            if not frames.is_cuda:
                with torch.cuda.stream(self._stream):
                    self._bytes_in[:count].copy_(frames)
                    self._step(count)()
                    return self._bytes_out[:count].to(frames.device, copy=True)
            callers = torch.cuda.current_stream(frames.device)
            self._stream.wait_stream(callers)
            with torch.cuda.stream(self._stream):
                self._bytes_in[:count].copy_(frames)
                self._step(count)()
                day = self._bytes_out[:count].clone()
            callers.wait_stream(self._stream)
            day.record_stream(callers)
            return day

    def _step(self, count: int) -> Callable[[], None]:
        """The function that computes the first ``count`` frames of ``_bytes_out``, on the current stream."""
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
        context.set_input_shape(self._input, tuple(self._floats_in[:count].shape))
        context.set_tensor_address(self._input, self._floats_in.data_ptr())
        context.set_tensor_address(self._output, self._floats_out.data_ptr())
        return context

    def _captured(self, context: Any, count: int) -> Callable[[], None]:
        """One run of ``context``, from bytes to bytes, as a CUDA graph where it can be captured."""
        stream = self._stream

        def run() -> None:
            self._floats_in[:count].copy_(self._bytes_in[:count])
            if not context.execute_async_v3(stream.cuda_stream):
                raise RuntimeError("TensorRT failed to run its engine")
            self._bytes_out[:count].copy_(self._floats_out[:count])

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
