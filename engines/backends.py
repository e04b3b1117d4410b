"""Backends behind one call: ``load_engine``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from engines.checkpoint import load_checkpoint
from engines.generator import NightToDay

Backend = Literal["auto", "eager", "openvino", "tensorrt"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Frames = NDArray[np.uint8]

MIN_SIDE = 16  # pixels; below it the reflection paddings are wider than the picture


class EngineError(RuntimeError):
    """A backend or precision cannot be had on this machine. The message is one line and says the way out."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was loaded: resolved backend and precision, and the checkpoint's file name."""

    backend: str
    precision: str
    model: str


class Engine(Protocol):
    """A compiled generator."""

    @property
    def info(self) -> EngineInfo:
        """What was loaded."""
        ...

    def __call__(self, frames: Frames) -> Frames:
        """Translate uint8 RGB (N, H, W, 3) into uint8 RGB of the same shape; any N ≥ 1, H, W ≥ 16.

        The first call with a new H, W may take seconds unless that size is ``prepared``. Raises ValueError for
        another dtype or shape.
        """
        ...

    def prepared(self, height: int, width: int) -> bool:
        """Whether frames of this size are translated without anything being compiled first."""
        ...

    def prepare(self, height: int, width: int) -> None:
        """Compile for frames of this size. May run in another thread while the engine is being called."""
        ...


def load_engine(checkpoint: str | Path, backend: Backend = "auto", precision: Precision = "auto") -> Engine:
    """Load a checkpoint on a backend.

    Args:
        checkpoint: a file written by ``nightday-train``.
        backend: ``auto`` takes eager on a GPU and OpenVINO on a CPU.
        precision: ``auto`` takes bf16 where the device computes in it, else fp32.

    Raises:
        CheckpointError: the file is missing or is not a checkpoint.
        EngineError: the backend or precision cannot be had here.
    """
    for name, value, allowed in (("backend", backend, Backend), ("precision", precision, Precision)):
        if value not in get_args(allowed):
            raise EngineError(f"{name} {value!r}: must be one of {', '.join(get_args(allowed))}")
    model = load_checkpoint(checkpoint)
    name = Path(checkpoint).name
    if backend == "auto":
        backend = "eager" if torch.cuda.is_available() else "openvino"
    if backend == "eager":
        return EagerEngine(model, name=name, precision=precision)
    if backend == "tensorrt":
        from engines.tensorrt import TensorRtEngine

        return TensorRtEngine(model, name=name, precision=precision)
    from engines.openvino import OpenVinoEngine  # half a second of import that eager does not need

    return OpenVinoEngine(model, name=name, precision=precision)


def check_frames(frames: Frames) -> None:
    """Raise ValueError unless ``frames`` is uint8 (N, H, W, 3) with N ≥ 1 and H, W ≥ 16."""
    good = frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3 and frames.shape[0] >= 1
    if not good or min(frames.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"frames are {frames.dtype} {frames.shape}: expected uint8 (N, H, W, 3), H and W at least {MIN_SIDE}"
        )


class EagerEngine:
    """PyTorch as it is, on the GPU if there is one: the reference the other backends are held against."""

    def __init__(self, model: NightToDay, *, name: str, precision: Precision) -> None:
        if precision == "fp16":
            raise EngineError("precision fp16: eager runs fp32 or bf16")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if precision == "auto":
            cuda_bf16 = self._device.type == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bf16" if cuda_bf16 else "fp32"
        self._model = model.to(self._device)
        self._bf16 = precision == "bf16"
        self.info = EngineInfo("eager", precision, name)

    def __call__(self, frames: Frames) -> Frames:
        """See ``Engine``."""
        check_frames(frames)
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return self._model(torch.from_numpy(np.ascontiguousarray(frames)).to(self._device)).cpu().numpy()

    def prepared(self, height: int, width: int) -> bool:
        """Always: nothing is compiled."""
        return True

    def prepare(self, height: int, width: int) -> None:
        """Nothing to do."""
