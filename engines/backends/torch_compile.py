"""torch.compile: PyTorch's own compiler, which uses CUDA graphs on GPUs and C++ on CPUs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..choices import Precision
from ..device_copies import PixelsT
from ..errors import EngineError
from ..model import lift
from ..model.checkpoint import model_digest
from ..model.generator import NightToDay
from .backgrounds import Pair
from .base import CheckedEngine, Engine, EngineInfo, EngineSpec, Translation, call_on_device
from .compiled_sizes import CompiledSizes, Size
from .device_backgrounds import DeviceBackgrounds
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


Run = Callable[..., Tensor | tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A size's module, and the same compiled."""

    module: NightToDay | lift.Lifted
    run: Run


class CompileEngine(CheckedEngine):
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
        self.needs_backgrounds = model.settings.backgrounds
        self._backgrounds = DeviceBackgrounds(self._computes_on)
        self._modules = CompiledSizes(self._compile, keep=KEPT_SHAPES)
        self.info = EngineInfo("compile", precision, name, model_digest(model))

    def _translated(self, frames: PixelsT, pairs: list[Pair] | None) -> Translation[PixelsT]:
        """See ``Engine.translate``. Raises EngineError where the size cannot be compiled."""

        def translate(frames: Tensor) -> Translation[Tensor]:
            compiled = self._modules.get((int(frames.shape[1]), int(frames.shape[2])))
            beside: tuple[Tensor, ...] = (
                () if pairs is None else self._backgrounds.batch(compiled.module, pairs)
            )
            made = self._in_batches(compiled.run, (frames, *beside))
            return Translation(made[0], made[1] if len(made) > 1 else None)

        return call_on_device(translate, frames, computes_on=self._computes_on)

    def _in_batches(self, run: Run, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What ``run`` makes of frames and what lies beside them, in batches of the sizes that it is compiled for."""
        most, count = self._batches[-1], len(given[0])
        made: list[tuple[Tensor, ...]] = []
        for at in range(0, count, most):
            taken = min(most, count - at)
            full = next(batch for batch in self._batches if batch >= taken)
            filled = [
                torch.cat(
                    [one[at : at + taken], one[at + taken - 1 : at + taken].expand(full - taken, -1, -1, -1)]
                )
                for one in given
            ]
            made.append(tuple(one[:taken] for one in self._in_thread(self._run, run, *filled)))
        return made[0] if len(made) == 1 else tuple(map(torch.cat, zip(*made, strict=True)))

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``."""
        return (height, width) in self._modules

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``. Raises EngineError where the size cannot be compiled."""
        self._modules.get((height, width))

    def _compile(self, size: Size) -> _Compiled:
        try:
            compiled: _Compiled = self._in_thread(self._compiled, *size)
            return compiled
        except Exception as error:  # a compiler raises anything, with many lines of text
            reason = " ".join(str(error).split())[:200]
            raise EngineError(
                f"backend compile: {size[0]}×{size[1]} cannot be compiled ({reason}); {_WAY_OUT}",
                setting="backend",
            ) from None

    def _compiled(self, height: int, width: int) -> _Compiled:
        # Freezing turns the weights into constants, so that norms are folded and convolutions laid out only once.
        options: dict[str, Any] = {"freezing": True, "triton.cudagraphs": self._computes_on.type == "cuda"}
        module = lift.module_for(self._model, height, width)
        run = torch.compile(module, dynamic=False, options=options)
        shapes = [((height, width), torch.uint8)]
        if self.needs_backgrounds:
            shapes += [(lift.translation_size(self._model, height, width), torch.float32)] * 2
        with torch._dynamo.config.patch(recompile_limit=KEPT_SHAPES, fail_on_recompile_limit_hit=True):
            for batch in self._batches * RUNS:
                blank = [
                    torch.zeros((batch, *size, 3), dtype=dtype, device=self._computes_on)
                    for size, dtype in shapes
                ]
                self._run(run, *blank)
        return _Compiled(module, run)

    def _run(self, run: Run, *given: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad(), computing_in(self._computes_on, bf16=self._bf16):
            made = run(*given)
            made = made if isinstance(made, tuple) else (made,)
            # A CUDA graph writes its next result over this one.
            return tuple(one.clone() for one in made) if self._computes_on.type == "cuda" else made

    def _in_thread(self, work: Callable[..., Any], *given: object) -> Any:
        return work(*given) if self._thread is None else self._thread.submit(work, *given).result()
