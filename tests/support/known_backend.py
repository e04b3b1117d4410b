"""A stand-in for OpenVINO whose error and speed are known."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines import EngineError
from nightday.engines.backends.base import EngineInfo, EngineSpec, Translation
from nightday.engines.backends.eager import EagerEngine
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack
from nightday.engines.model.settings import GeneratorSettings
from nightday.engines.selection import load, qualify

Frames = NDArray[np.uint8]


class Known:
    """Eager fp32, off by so many grey levels up and down; ``ms`` is what measuring it will say.

    ``share`` is what it says it ran on.
    """

    def __init__(
        self,
        order: EngineSpec,
        levels: int,
        ms: float,
        breaks_at: tuple[int, int] | None,
        share: float | None,
    ) -> None:
        self.breaks_at = breaks_at
        self.eager = EagerEngine(order.model, name=order.name, precision="fp32")
        self.levels, self.ms, self.share = levels, ms, share
        self.info = EngineInfo("openvino", order.precision, order.name)
        self.device: torch.device | None = None
        self.at_once = 1

        self.needs_backgrounds = order.model.settings.backgrounds

    def __call__(self, *given: Any) -> Any:
        return self.translate(*given).day

    def translate(self, *given: Any) -> Any:
        made = self.eager.translate(*given)
        day = made.day.astype(np.int16)
        signs = np.where(np.arange(day.size) % 2, 1, -1).reshape(day.shape)
        off: Frames = (day + self.levels * signs).clip(0, 255).astype(np.uint8)
        trust = None if made.trust is None or self.levels > 100 else made.trust
        return Translation(off, trust, None if self.share is None else (self.share,) * len(off))

    def prepared(self, height: int, width: int) -> bool:
        return True

    def prepare(self, height: int, width: int) -> None:
        if (height, width) == self.breaks_at:
            raise RuntimeError(f"cannot compile {height}x{width}")


class Backends:
    """Stands in for OpenVINO: ``have[precision] = (grey levels off, ms)``; counts what is measured.

    With reuse it runs on ``share`` of the picture; without, it is not off at all and takes ``everywhere_ms``.
    """

    def __init__(self) -> None:
        self.have: dict[str, tuple[int, float]] = {}
        self.share: float | None = None
        self.everywhere_ms = 30.0
        self.reuse: list[bool] = []  # as it was asked for
        self.breaks: set[str] = set()
        self.breaks_at: tuple[int, int] | None = None
        self.eager_ms = 50.0
        self.measured: list[str] = []
        self.released = "1.0"
        self.now = 0.0  # seconds, which pass only while something is compiled
        self.seconds: dict[str, float] = {}  # that compiling takes, by precision

    def clock(self) -> float:
        return self.now

    def make(self, order: EngineSpec) -> Known:
        if order.precision not in self.have:
            raise EngineError(
                f"precision {order.precision}: openvino does not run it here", setting="precision"
            )
        assert len(order.calibration) > 0
        self.now += self.seconds.get(order.precision, 0)
        if order.precision in self.breaks:
            raise MemoryError("no room for\nweights")
        self.reuse.append(order.reuse)
        if self.share is not None and not order.reuse:
            return Known(order, 0, self.everywhere_ms, self.breaks_at, None)
        return Known(order, *self.have[order.precision], self.breaks_at, self.share)

    def latency_ms(self, engine: object, golden: object, *, clock: object = None) -> float:
        engine = getattr(inspect.unwrap(engine), "__self__", engine)  # type: ignore[arg-type]  # whose method it is
        precision = engine.info.precision if isinstance(engine, Known) else "eager"
        self.measured.append(precision)
        return engine.ms if isinstance(engine, Known) else self.eager_ms

    def times_as_long(self, engine: object, other: object, golden: object, *, clock: object = None) -> float:
        assert "EagerEngine" in repr(other)
        return self.latency_ms(engine, golden) / self.eager_ms


def install(monkeypatch: pytest.MonkeyPatch) -> Backends:
    """Puts it in the place of OpenVINO, on a machine without a GPU."""
    backends, module = Backends(), ModuleType("tests.known")
    module.__file__ = __file__
    module.precisions = lambda: tuple(backends.have)  # type: ignore[attr-defined]
    module.version = lambda: backends.released  # type: ignore[attr-defined]
    module.sources = lambda: (__file__,)  # type: ignore[attr-defined]
    module.make = backends.make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tests.known", module)
    monkeypatch.setitem(load.MODULES, "openvino", "tests.known")
    monkeypatch.setattr(qualify, "latency_ms", backends.latency_ms)
    monkeypatch.setattr(qualify, "times_as_long", backends.times_as_long)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return backends


def tiny_model(path: Path) -> Path:
    """A checkpoint with golden frames of 48×32."""
    frames = [np.random.default_rng(i).integers(0, 60, (32, 48, 3), dtype=np.uint8) for i in range(2)]
    save_checkpoint(path, NightToDay(GeneratorSettings(blocks=1, width=4)), qualification_frames=pack(frames))
    return path
