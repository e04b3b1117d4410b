"""Backends behind one call: ``load_engine``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Backend = Literal["auto", "eager", "openvino", "tensorrt"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


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

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate uint8 RGB (N, H, W, 3) into uint8 RGB of the same shape; any N, H, W ≥ 32."""
        ...


def load_engine(checkpoint: str | Path, backend: Backend = "auto", precision: Precision = "auto") -> Engine:
    """Load ``checkpoint`` on ``backend``. Raises CheckpointError or EngineError."""
    raise EngineError("no backend yet")
