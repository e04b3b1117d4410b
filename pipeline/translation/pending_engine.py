"""An engine that is still being built, while its cameras run already."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NoReturn

import torch

from nightday.engines.backends.backgrounds import Background
from nightday.engines.backends.base import Engine, EngineInfo, Translation
from nightday.engines.device_copies import PixelsT

from .own_backgrounds import FAILED, STARTING

Sizes = Callable[[], Collection[tuple[int, int]]]
"""Gives the (height, width) that running cameras send, and waits for their first pictures if need be. None of them is
to notice the building."""


class PendingEngine:
    """Stands where an engine will serve, and is swapped for it. Until then nights are brightened.

    Args:
        name: the checkpoint's file name.
        needs_backgrounds: whether the engine will take its cameras' backgrounds beside the frames.
        device: the GPU on which it will take tensors, so that frames are decoded there from the first one on.
        build: builds the engine, which may take minutes, and raises ConfigError where that cannot be done.
    """

    at_once: int | None = None

    def __init__(
        self,
        name: str,
        *,
        needs_backgrounds: bool,
        device: torch.device | None,
        build: Callable[[Sizes], Engine],
    ) -> None:
        self.info = EngineInfo("none", "none", name)
        self.needs_backgrounds = needs_backgrounds
        self.device = device
        self.build = build
        self.fault = ""
        """Why it could not be built; "" if that is not so."""

    @property
    def why(self) -> str:
        """Why nights are brightened, in a few words."""
        return FAILED if self.fault else STARTING

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``: it is not there."""
        return False

    def prepare(self, height: int, width: int) -> None:
        """Raises RuntimeError."""
        self._refuse()

    def __call__(
        self,
        frames: PixelsT,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> PixelsT:
        """Raises RuntimeError."""
        self._refuse()

    def translate(
        self,
        frames: PixelsT,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Translation[PixelsT]:
        """Raises RuntimeError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(f"{self.info.model}: {self.why}")
