"""Engines for tests, which do what they are told."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch

from nightday.engines.backends.base import EngineInfo, Translation


class EngineStub:
    """An engine that hands frames on as they are, on the host, and is prepared for every size.

    Tests derive from it and override what matters to them.
    """

    device: torch.device | None = None
    at_once: int | None = None
    needs_backgrounds = False
    info = EngineInfo("stub", "fp32", "stub.pt")

    def __init__(self, translate: Callable[[Any], Any] | None = None) -> None:
        self._translate = translate

    def __call__(self, frames: Any, day_background: Any = None, night_background: Any = None) -> Any:
        return frames if self._translate is None else self._translate(frames)

    def translate(self, frames: Any, day_background: Any = None, night_background: Any = None) -> Any:
        if self.needs_backgrounds:
            return Translation(self(frames, day_background=day_background, night_background=night_background))
        return Translation(self(frames))

    def prepared(self, height: int, width: int) -> bool:
        return True

    def prepare(self, height: int, width: int) -> None:
        raise AssertionError("it is prepared for every size")


class DetectorStub:
    """A detector on the host that finds what ``detect`` says."""

    device: torch.device | None = None
    classes: Collection[str] | None = None

    def __init__(self, detect: Callable[[Any], Any]) -> None:
        self._detect = detect

    def __call__(self, rgb: Any) -> Any:
        return self._detect(rgb)
