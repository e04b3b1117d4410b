"""PyTorch as it is: the reference the other backends are held against."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from .. import device_copies
from ..choices import Precision
from ..errors import EngineError
from ..model.generator import NightToDay
from ..model.lift import module_for
from .base import Engine, EngineInfo, EngineSpec, Frames, check_frames


def precisions() -> tuple[Precision, ...]:
    """What pays here: bf16 where a GPU computes in it, and fp32."""
    return ("bf16", "fp32") if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else ("fp32",)


def version() -> str:
    """PyTorch's."""
    return torch.__version__


def make(order: EngineSpec) -> Engine:
    """The engine that ``order`` asks for."""
    return EagerEngine(order.model, name=order.name, precision=order.precision)


class EagerEngine:
    """On the GPU if there is one, else on the CPU; fp32, or bf16 by autocast."""

    def __init__(self, model: NightToDay, *, name: str, precision: Precision) -> None:
        if precision not in ("fp32", "bf16"):
            raise EngineError(f"precision {precision}: eager runs fp32 or bf16")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.device = self._device if self._device.type == "cuda" else None
        self._model = model.to(self._device)
        self._bf16 = precision == "bf16"
        self.info = EngineInfo("eager", precision, name)

    def __call__(self, frames: Frames) -> Frames:
        """See ``Engine``."""
        check_frames(frames)
        return device_copies.to_host(
            self.on_device(device_copies.to_device(frames, self._device, "engine")), "engine"
        )

    def on_device(self, frames: Tensor) -> Tensor:
        """See ``DeviceEngine``."""
        check_frames(frames)
        model = module_for(self._model, int(frames.shape[1]), int(frames.shape[2]))
        # TF32, cuDNN's default for float32, has ten bits: the invariant's ratios do not survive them.
        on_gpu = self._device.type == "cuda"
        exact = torch.backends.cudnn.flags(allow_tf32=False) if on_gpu and not self._bf16 else nullcontext()
        half = torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)
        with torch.inference_mode(), exact, half:
            return model(frames)

    def prepared(self, height: int, width: int) -> bool:
        """Always: nothing is compiled."""
        return True

    def prepare(self, height: int, width: int) -> None:
        """Nothing to do."""
