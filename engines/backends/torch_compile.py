"""torch.compile: PyTorch's own compiler, which uses CUDA graphs on GPUs and C++ on CPUs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ..choices import Precision
from ..device_copies import PixelsT
from ..errors import EngineError
from ..model import lift
from ..model.generator import NightToDay
from .base import Engine, EngineInfo, EngineSpec, call_on_device, check_frames
from .compiled_sizes import CompiledSizes, Size
from .torch_precision import computing_in, offered

# Compiled shapes that are kept. PyTorch's own limit is 8, beyond which it silently runs uncompiled.
KEPT_SHAPES = 64

# Runs of each shape in ``prepare``: CUDA graphs are recorded at the second or third run, which must not happen while
# cameras wait.
RUNS = 3

_WAY_OUT = "apt-get install g++, or use openvino or eager"


def precisions() -> tuple[Precision, ...]:
    """bf16 where a GPU computes in it, and fp32. None without a C++ compiler."""
    return offered() if _compiler() else ()


def version() -> str:
    """PyTorch's version."""
    return str(torch.__version__)


def sources() -> tuple[str, ...]:
    """See ``BackendModule``."""
    return __file__, lift.__file__


def make(spec: EngineSpec) -> Engine:
    """See ``BackendModule``."""
    return CompileEngine(spec.model, name=spec.name, precision=spec.precision, max_batch=spec.max_batch)


def _compiler() -> str | None:
    """The C++ compiler that PyTorch would take, if it is there. Triton needs one as well."""
    return shutil.which(os.environ.get("CXX", "g++"))


class CompileEngine:
    """The model compiled by PyTorch for each picture size.

    On a CPU it is compiled for one frame, and the frames of a batch are translated one after the other. On a GPU it
    is compiled for batches of powers of two up to ``max_batch`` and replayed as CUDA graphs. A batch between two of
    these is filled up with copies of its last frame, a larger one is split. PyTorch keeps what it compiled in
    ``TORCHINDUCTOR_CACHE_DIR``.

    Args:
        model: in evaluation mode; the engine's own from now on.
        name: the checkpoint's file name.
        precision: fp32, or bf16 by autocast.
        max_batch: most frames that are given at once.

    Raises:
        EngineError: there is no C++ compiler, or the precision is another one.
    """

    def __init__(self, model: NightToDay, *, name: str, precision: Precision, max_batch: int = 8) -> None:
        if precision not in ("fp32", "bf16"):
            raise EngineError(f"precision {precision}: compile runs fp32 or bf16", setting="precision")
        if not _compiler():
            raise EngineError(
                f"backend compile: needs a C++ compiler (CXX, g++), there is none; {_WAY_OUT}",
                setting="backend",
            )
        cuda = torch.cuda.is_available()
        self._computes_on = torch.device("cuda" if cuda else "cpu")
        self.device = self._computes_on if cuda else None
        self.at_once: int | None = None
        self._bf16 = precision == "bf16"
        self._batches = tuple(2**i for i in range(max_batch.bit_length())) if cuda else (1,)
        self._model = model.to(self._computes_on)
        # CUDA graphs belong to the thread that recorded them, and prepare and calls come from several.
        self._thread = ThreadPoolExecutor(1, "compiled-engine") if cuda else None
        self._modules = CompiledSizes(self._compile, keep=KEPT_SHAPES)
        self.info = EngineInfo("compile", precision, name)

    def __call__(self, frames: PixelsT) -> PixelsT:
        """See ``Engine``. Raises EngineError where the size cannot be compiled."""
        check_frames(frames, self.device)
        return call_on_device(self._translate, frames, computes_on=self._computes_on)

    def _translate(self, frames: Tensor) -> Tensor:
        module = self._modules.get((int(frames.shape[1]), int(frames.shape[2])))
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
        """See ``Engine``. Raises EngineError where the size cannot be compiled."""
        self._modules.get((height, width))

    def _compile(self, size: Size) -> Callable[[Tensor], Tensor]:
        try:
            module: Callable[[Tensor], Tensor] = self._in_thread(self._compiled, *size)
            return module
        except Exception as error:  # a compiler raises anything, with many lines of text
            reason = " ".join(str(error).split())[:200]
            raise EngineError(
                f"backend compile: {size[0]}×{size[1]} cannot be compiled ({reason}); {_WAY_OUT}",
                setting="backend",
            ) from None

    def _compiled(self, height: int, width: int) -> Callable[[Tensor], Tensor]:
        # Freezing turns the weights into constants, so that norms are folded and convolutions laid out only once.
        options: dict[str, Any] = {"freezing": True, "triton.cudagraphs": self._computes_on.type == "cuda"}
        module = torch.compile(lift.module_for(self._model, height, width), dynamic=False, options=options)
        with torch._dynamo.config.patch(recompile_limit=KEPT_SHAPES, fail_on_recompile_limit_hit=True):
            for batch in self._batches * RUNS:
                blank = torch.zeros((batch, height, width, 3), dtype=torch.uint8, device=self._computes_on)
                self._run(module, blank)
        return module

    def _run(self, module: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
        with torch.no_grad(), computing_in(self._computes_on, bf16=self._bf16):
            day = module(frames)
            # A CUDA graph writes its next result over this one.
            return day.clone() if self._computes_on.type == "cuda" else day

    def _in_thread(self, work: Callable[..., Any], *given: object) -> Any:
        return work(*given) if self._thread is None else self._thread.submit(work, *given).result()
