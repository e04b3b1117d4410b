"""PyTorch as it is: the reference that the other backends are compared with."""

from __future__ import annotations

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
from .device_backgrounds import DeviceBackgrounds
from .torch_precision import computing_in, offered


def precisions() -> tuple[Precision, ...]:
    """bf16 where a GPU computes in it, and fp32."""
    return offered()


def version() -> str:
    """PyTorch's version."""
    return torch.__version__


def sources() -> tuple[str, ...]:
    """See ``BackendModule``."""
    return __file__, lift.__file__


def make(spec: EngineSpec) -> Engine:
    """See ``BackendModule``."""
    return EagerEngine(spec.model, name=spec.name, precision=spec.precision)


class EagerEngine(CheckedEngine):
    """Runs on the GPU if there is one, else on the CPU; in fp32, or in bf16 by autocast.

    Args:
        model: in evaluation mode; the engine's own from now on.
        name: the checkpoint's file name.
        precision: fp32 or bf16.

    Raises:
        EngineError: the precision is another one.
    """

    def __init__(self, model: NightToDay, *, name: str, precision: Precision) -> None:
        if precision not in ("fp32", "bf16"):
            raise EngineError(f"precision {precision}: eager runs fp32 or bf16", setting="precision")
        self._computes_on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.device = self._computes_on if self._computes_on.type == "cuda" else None
        self.at_once: int | None = None
        self._model = model.to(self._computes_on)
        self._bf16 = precision == "bf16"
        self.needs_backgrounds = model.settings.backgrounds
        self._backgrounds = DeviceBackgrounds(self._computes_on)
        self.info = EngineInfo("eager", precision, name, model_digest(model))

    def _translated(self, frames: PixelsT, pairs: list[Pair] | None) -> Translation[PixelsT]:
        def translate(frames: Tensor) -> Translation[Tensor]:
            module = lift.module_for(self._model, int(frames.shape[1]), int(frames.shape[2]))
            with torch.inference_mode(), computing_in(self._computes_on, bf16=self._bf16):
                if pairs is None:
                    return Translation(module(frames))
                return Translation(*module(frames, *self._backgrounds.batch(module, pairs)))

        return call_on_device(translate, frames, computes_on=self._computes_on)

    def prepared(self, height: int, width: int) -> bool:
        """Always True: nothing is compiled."""
        return True

    def prepare(self, height: int, width: int) -> None:
        """Does nothing: nothing is compiled."""
