"""torch.compile: PyTorch's own compiler, on GPUs with CUDA graphs, on CPUs by C++."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from .. import device_copies
from ..choices import Precision
from ..errors import EngineError
from ..model.generator import NightToDay
from ..model.lift import module_for
from .base import Engine, EngineInfo, EngineSpec, Frames, check_frames

KEPT_SHAPES = 64  # compiled; PyTorch's own limit is 8, beyond which it silently runs uncompiled
RUNS = 3  # of each shape in prepare: CUDA graphs are recorded at the second or third, not while cameras wait

_WAY = "apt-get install g++, or use openvino or eager"


def precisions() -> tuple[Precision, ...]:
    """What pays here: bf16 where a GPU computes in it, and fp32. None without a C++ compiler."""
    if not _compiler():
        return ()
    return ("bf16", "fp32") if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else ("fp32",)


def version() -> str:
    """PyTorch's."""
    return str(torch.__version__)


def make(order: EngineSpec) -> Engine:
    """The engine that ``order`` asks for."""
    return CompileEngine(order.model, name=order.name, precision=order.precision, max_batch=order.max_batch)


def _compiler() -> str | None:
    """The C++ compiler that PyTorch would take, if it is there; Triton wants one too."""
    return shutil.which(os.environ.get("CXX", "g++"))


class CompileEngine:
    """The model compiled by PyTorch for each picture size.

    On a CPU for one frame, and the frames of a batch go through one after the other. On a GPU, replayed as CUDA
    graphs, for batches of powers of two up to ``max_batch``: a batch between two of them is filled up with its last
    frame, a larger one is cut. What is compiled is kept by PyTorch, in ``TORCHINDUCTOR_CACHE_DIR``.

    Args:
        model: in evaluation mode; the engine's own from now on.
        name: the checkpoint's file name.
        precision: fp32 or bf16, by autocast.
        max_batch: most frames that are given at once.

    Raises:
        EngineError: there is no C++ compiler, or the precision is another one.
    """

    def __init__(self, model: NightToDay, *, name: str, precision: Precision, max_batch: int = 8) -> None:
        if precision not in ("fp32", "bf16"):
            raise EngineError(f"precision {precision}: compile runs fp32 or bf16")
        if not _compiler():
            raise EngineError(f"backend compile: needs a C++ compiler (CXX, g++), there is none; {_WAY}")
        cuda = torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        self.device = self._device if cuda else None
        self._bf16 = precision == "bf16"
        self._batches = tuple(2**i for i in range(max_batch.bit_length())) if cuda else (1,)
        self._model = model.to(self._device)
        # CUDA graphs belong to the thread that recorded them, and prepare and calls come from several.
        self._thread = ThreadPoolExecutor(1, "compiled-engine") if cuda else None
        self._modules: dict[tuple[int, int], Callable[[Tensor], Tensor]] = {}
        self._compiling = threading.Lock()  # PyTorch compiles in one thread at a time
        self.info = EngineInfo("compile", precision, name)

    def __call__(self, frames: Frames) -> Frames:
        """See ``Engine``."""
        check_frames(frames)
        return device_copies.to_host(
            self.on_device(device_copies.to_device(frames, self._device, "engine")), "engine"
        )

    def on_device(self, frames: Tensor) -> Tensor:
        """See ``DeviceEngine``."""
        check_frames(frames)
        size = (int(frames.shape[1]), int(frames.shape[2]))
        self.prepare(*size)
        module = self._modules[size]
        days = torch.empty_like(frames)
        for at in range(0, len(frames), self._batches[-1]):
            part = frames[at : at + self._batches[-1]]
            full = next(batch for batch in self._batches if batch >= len(part))
            filled = torch.cat([part, part[-1:].expand(full - len(part), -1, -1, -1)])
            days[at : at + len(part)] = self._in_thread(self._run, module, filled)[: len(part)]
        return days

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``."""
        return (height, width) in self._modules

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``. Raises EngineError where it cannot be compiled."""
        if self.prepared(height, width):
            return
        with self._compiling:
            if self.prepared(height, width):
                return
            try:
                self._modules[height, width] = self._in_thread(self._compiled, height, width)
            except Exception as error:  # a compiler's can be of any kind and many lines
                told = " ".join(str(error).split())[:200]
                raise EngineError(
                    f"backend compile: {height}×{width} cannot be compiled ({told}); {_WAY}"
                ) from None

    def _compiled(self, height: int, width: int) -> Callable[[Tensor], Tensor]:
        # Freezing makes constants of the weights: norms fold, and convolutions are laid out once.
        options: dict[str, Any] = {"freezing": True, "triton.cudagraphs": self._device.type == "cuda"}
        module = torch.compile(module_for(self._model, height, width), dynamic=False, options=options)
        with torch._dynamo.config.patch(recompile_limit=KEPT_SHAPES, fail_on_recompile_limit_hit=True):
            for batch in self._batches * RUNS:
                self._run(
                    module, torch.zeros((batch, height, width, 3), dtype=torch.uint8, device=self._device)
                )
        return module

    def _run(self, module: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
        # TF32, cuDNN's default for float32, has ten bits: the invariant's ratios do not survive them.
        on_gpu = self._device.type == "cuda"
        exact = torch.backends.cudnn.flags(allow_tf32=False) if on_gpu and not self._bf16 else nullcontext()
        half = torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)
        with torch.no_grad(), exact, half:
            day = module(frames)
            return day.clone() if on_gpu else day  # a CUDA graph writes its next result over this one

    def _in_thread(self, work: Callable[..., Any], *given: object) -> Any:
        return work(*given) if self._thread is None else self._thread.submit(work, *given).result()
