"""What every backend is and is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cache.engine_cache import EngineCache
from ..choices import Precision
from ..device_copies import Pixels
from ..errors import EngineError
from ..model.generator import NightToDay

Frames = NDArray[np.uint8]

MIN_SIDE = 16  # pixels; below it the reflection paddings are wider than the picture


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was loaded: resolved backend and precision, and the checkpoint's file name."""

    backend: str
    precision: str
    model: str


class Engine(Protocol):
    """A compiled generator. Any number of threads may use it."""

    @property
    def info(self) -> EngineInfo:
        """What was loaded."""
        ...

    @property
    def device(self) -> torch.device | None:
        """The GPU on which it takes tensors; None where it computes on a CPU and takes arrays only."""
        ...

    @property
    def at_once(self) -> int | None:
        """How many calls, of one frame each, are worked on side by side; None for one at a time, of a whole batch."""
        ...

    @overload
    def __call__(self, frames: Frames) -> Frames: ...
    @overload
    def __call__(self, frames: Tensor) -> Tensor: ...
    def __call__(self, frames: Pixels) -> Pixels:
        """Translate uint8 RGB (N, H, W, 3) into uint8 RGB of the same shape."""
        ...

    def prepared(self, height: int, width: int) -> bool:
        """Whether frames of this size are translated without anything being compiled first."""
        ...

    def prepare(self, height: int, width: int) -> None:
        """Compile for frames of this size. May run in another thread while the engine is being called."""
        ...


class DeviceEngine(Engine, Protocol):
    """A generator that takes frames where it computes and leaves them there."""

    @property
    def device(self) -> torch.device | None:
        """The GPU; None where it computes on a CPU after all."""
        ...

    def on_device(self, frames: Tensor) -> Tensor:
        """``__call__`` of a uint8 tensor (N, H, W, 3) on ``device``, to another one there; nothing crosses.

        The result is ordered on the caller's stream; nothing waits for it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What a backend is asked to make an engine of, and may take what it needs of.

    Attributes:
        model: on the CPU, in evaluation mode, the backend's own to change.
        name: the checkpoint's file name.
        precision: one of its own, never ``auto``.
        cache: for what it compiles.
        calibration: night frames for int8, uint8 RGB (H, W, 3) each.
        max_batch: most frames it will be given at once.
    """

    model: NightToDay
    name: str
    precision: Precision
    cache: EngineCache
    calibration: Sequence[NDArray[np.uint8]]
    max_batch: int


class BackendModule(Protocol):
    """What the module of a backend offers."""

    def precisions(self) -> tuple[Precision, ...]:
        """What this machine computes in with it, the likely fastest first; quick, and none where it cannot run."""
        ...

    def version(self) -> str:
        """Of what compiles and runs, e.g. 2026.4.1."""
        ...

    def make(self, order: EngineSpec) -> Engine:
        """The engine that ``order`` asks for, before any picture size. Raises EngineError if it cannot be had."""
        ...


def check_frames(frames: Pixels) -> None:
    """Raise ValueError unless ``frames`` is uint8 (N, H, W, 3) with N ≥ 1 and H, W ≥ 16."""
    dtype = str(frames.dtype).removeprefix("torch.")
    good = dtype == "uint8" and frames.ndim == 4 and frames.shape[3] == 3 and frames.shape[0] >= 1
    if not good or min(frames.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"frames are {dtype} {tuple(frames.shape)}: expected uint8 (N, H, W, 3), H and W at least {MIN_SIDE}"
        )


def check_calibration(frames: Sequence[NDArray[np.uint8]]) -> None:
    """Raise EngineError unless there are frames to take int8's ranges from."""
    if not len(frames):
        raise EngineError("precision int8: needs night frames to take ranges from; give calibration")
