"""What every backend is, and what it is asked for."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from .. import device_copies
from ..choices import MIN_SIDE, Precision
from ..device_copies import Pixels, PixelsT
from ..errors import EngineError
from .backgrounds import Background, Pair, pairs_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..cache.engine_cache import EngineCache
    from ..model.generator import NightToDay
    from ..model.qualification_frames import RgbPair

Frames = NDArray[np.uint8]
"""A batch of pictures on the host, uint8 RGB (N, H, W, 3)."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was loaded: the resolved backend and precision, and the checkpoint's file name and ``model_digest``."""

    backend: str
    precision: str
    model: str
    digest: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Translation(Generic[PixelsT]):
    """All that an engine makes of frames.

    Attributes:
        day: uint8 RGB (N, H, W, 3), of the frames' size.
        trust: of a model that takes backgrounds: uint8 (N, h, w, 3), in 255ths what was drawn from the night, what is
            remembered from the day background, and what is unclear. (h, w) is the size at which the model translates,
            which is smaller than the frames' where these are lifted. None of any other model.
        ran: on which share of each frame's picture the generator ran, [0, 1]; elsewhere nothing differs from the
            camera's backgrounds. None where it always runs on all of it.
    """

    day: PixelsT
    trust: PixelsT | None = None
    ran: tuple[float, ...] | None = None


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
        """How many calls, of one frame each, are worked on side by side; further calls wait.

        None where one call at a time is worked on, best of a whole batch.
        """
        ...

    @property
    def needs_backgrounds(self) -> bool:
        """Whether it takes the camera's backgrounds by day and by night beside the frames."""
        ...

    @overload
    def __call__(
        self,
        frames: Frames,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Frames: ...
    @overload
    def __call__(
        self,
        frames: Tensor,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        frames: Pixels,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Pixels:
        """Translate uint8 RGB (N, H, W, 3) into uint8 RGB of the same shape; any N ≥ 1, H and W ≥ 16.

        An array gives an array. Where ``device`` is not None a tensor on that device gives another one there, and no
        frame is copied to the host. That result is ordered on the caller's stream; nothing waits for it.

        The backgrounds are those of each frame's camera, of the frames' size: see ``Background``. A model that
        ``needs_backgrounds`` takes both, any other takes none. They may be arrays beside tensors. What is derived
        from an array is kept as long as it lives if it is read-only, so whoever has one for many frames should make
        it so.

        The first call with a new H, W may take seconds unless that size is ``prepared``. Raises ValueError for
        another dtype or shape, for a tensor that is not on ``device``, and for backgrounds that are missing or not
        wanted.
        """
        ...

    @overload
    def translate(
        self,
        frames: Frames,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Translation[Frames]: ...
    @overload
    def translate(
        self,
        frames: Tensor,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Translation[Tensor]: ...
    def translate(
        self,
        frames: Pixels,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Translation[Frames] | Translation[Tensor]:
        """As calling it, with what to make of the result."""
        ...

    def prepared(self, height: int, width: int) -> bool:
        """Whether frames of this size are translated without anything being compiled first."""
        ...

    def prepare(self, height: int, width: int) -> None:
        """Compile for frames of this size. May run in another thread while the engine is being called."""
        ...


class CheckedEngine(abc.ABC):
    """What the engines of all backends share: what they are given is checked before anything is done with it."""

    device: torch.device | None
    needs_backgrounds: bool

    def __call__(
        self,
        frames: PixelsT,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> PixelsT:
        """See ``Engine``."""
        return self.translate(frames, day_background, night_background).day

    def translate(
        self,
        frames: PixelsT,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Translation[PixelsT]:
        """See ``Engine``."""
        check_frames(frames, self.device)
        pairs = pairs_of(
            frames, day_background, night_background, needed=self.needs_backgrounds, device=self.device
        )
        return self._translated(frames, pairs)

    @abc.abstractmethod
    def _translated(self, frames: PixelsT, pairs: list[Pair] | None) -> Translation[PixelsT]:
        """``translate`` of frames that were checked, and the backgrounds of each where the model needs them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What a backend is asked to make an engine of. A backend takes of it what it needs.

    Attributes:
        model: on the CPU, in evaluation mode; the backend may change it.
        name: the checkpoint's file name.
        precision: one that the backend offers, never ``auto``.
        cache: where the backend keeps what it compiles.
        calibration: night frames for int8, uint8 RGB (H, W, 3) each.
        calibration_backgrounds: the backgrounds of each of them, where the model needs them.
        max_batch: most frames that the engine will be given at once.
        reuse: whether the generator may be left out where a picture does not differ from its camera's backgrounds.
    """

    model: NightToDay
    name: str
    precision: Precision
    cache: EngineCache
    calibration: Sequence[NDArray[np.uint8]]
    calibration_backgrounds: Sequence[RgbPair] = ()
    max_batch: int
    reuse: bool = True


class BackendModule(Protocol):
    """What the module of a backend offers."""

    def precisions(self) -> tuple[Precision, ...]:
        """The precisions that it computes in on this machine, the likely fastest first.

        Quick. Empty, or EngineError with the reason, where the backend cannot run.
        """
        ...

    def version(self) -> str:
        """The version of what compiles and runs, e.g. 2026.4.1."""
        ...

    def sources(self) -> tuple[str, ...]:
        """The files, beside the model's own, whose code decides what its engines draw and how fast."""
        ...

    def make(self, spec: EngineSpec) -> Engine:
        """The engine that ``spec`` asks for; no picture size is compiled yet. Raises EngineError if that fails."""
        ...


def check_frames(frames: Pixels, device: torch.device | None) -> None:
    """Raise ValueError unless ``frames`` may be given to an engine.

    They must be uint8 (N, H, W, 3) with N ≥ 1 and H, W ≥ 16, and an array or a tensor on the engine's ``device``.
    """
    dtype = str(frames.dtype).removeprefix("torch.")
    good = dtype == "uint8" and frames.ndim == 4 and frames.shape[3] == 3 and frames.shape[0] >= 1
    if not good or min(frames.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"frames are {dtype} {tuple(frames.shape)}: expected uint8 (N, H, W, 3), H and W at least {MIN_SIDE}"
        )
    if not isinstance(frames, np.ndarray) and (device is None or frames.device.type != device.type):
        wanted = (
            "an array, as this engine computes on a CPU"
            if device is None
            else f"one on {device}, or an array"
        )
        raise ValueError(f"frames are a tensor on {frames.device}: expected {wanted}")


def check_calibration(frames: Sequence[NDArray[np.uint8]]) -> None:
    """Raise EngineError unless there are frames to take int8's ranges from."""
    if not len(frames):
        raise EngineError(
            "precision int8: needs night frames to take ranges from; give calibration", setting="precision"
        )


def call_on_device(
    translate: Callable[[Tensor], Translation[Tensor]], frames: PixelsT, *, computes_on: torch.device
) -> Translation[PixelsT]:
    """``translate`` of frames: a tensor is given as it is, an array is copied to ``computes_on`` and back."""
    if not isinstance(frames, np.ndarray):
        return translate(frames)
    made = translate(device_copies.to_device(frames, computes_on, "engine"))
    trust = None if made.trust is None else made.trust.cpu().numpy()
    return Translation(device_copies.to_host(made.day, "engine"), trust)
