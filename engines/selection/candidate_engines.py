"""The backends and precisions that can serve a checkpoint: each as an engine, and measured once on a machine."""

from __future__ import annotations

import copy
import functools
import importlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from .. import cores
from ..backends.base import BackendModule, Engine, EngineSpec, Translation
from ..cache import machine
from ..cache.code_digest import graph_digest
from ..cache.engine_cache import EngineCache, EngineKey
from ..choices import Backend, Precision
from ..errors import EngineError
from ..model import qualification_frames
from ..model.checkpoint import model_digest, model_of, read_checkpoint
from ..model.qualification_frames import RgbImage, RgbPair
from . import qualify
from .qualify import Qualification

log = logging.getLogger(__name__)

MEASURED = {"event": "engine_measured"}

# The module of each backend, imported when it is used: openvino takes half a second, torch-tensorrt many.
MODULES = {
    "eager": "nightday.engines.backends.eager",
    "compile": "nightday.engines.backends.torch_compile",
    "openvino": "nightday.engines.backends.openvino.engine",
    "tensorrt": "nightday.engines.backends.tensorrt.engine",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend in a precision."""

    backend: Backend
    precision: Precision

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


REFERENCE = Candidate("eager", "fp32")


class _TimeIsUpError(Exception):
    """A candidate was not measured, or not to its end, because the time for that is up."""


def _always() -> bool:
    return True


def _go_on(goes_on: Callable[[], bool]) -> None:
    if not goes_on():
        raise _TimeIsUpError


def module_of(backend: Backend) -> BackendModule:
    """The module of a backend. Raises EngineError where it or what it depends on is not installed."""
    if backend not in MODULES:
        raise EngineError(
            f"backend {backend}: not built in this version; use {', '.join(MODULES)}", setting="backend"
        )
    try:
        return cast(BackendModule, importlib.import_module(MODULES[backend]))
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise EngineError(
            f"backend {backend}: cannot be imported ({reason}); install it, or use auto", setting="backend"
        ) from None


class CandidateEngines:
    """The candidates' engines of one checkpoint: makes them, and measures each once on a machine.

    Args:
        checkpoint: the file.
        max_batch, translate_size, cache, reuse: see ``load_engine``.
        frames: to measure on, uint8 RGB (H, W, 3) each; by default the checkpoint's qualification frames.
        backgrounds: of each of ``frames``, where the model takes them.

    Raises:
        ValueError: the model takes backgrounds, and those of ``frames`` are not given.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        max_batch: int = 8,
        translate_size: int | None = None,
        cache: EngineCache | None = None,
        frames: Sequence[RgbImage] = (),
        backgrounds: Sequence[RgbPair] = (),
        reuse: bool = True,
    ) -> None:
        content = read_checkpoint(checkpoint)
        self.name = Path(checkpoint).name
        self.cache = cache or EngineCache()
        self.model = model_of(content, checkpoint)
        if translate_size is not None:
            self.model.side = translate_size
        self.calibration = qualification_frames.frames_of_content(content, checkpoint)
        self.calibration_backgrounds = qualification_frames.backgrounds_of_content(content, checkpoint)
        if frames and self.calibration_backgrounds and len(backgrounds) != len(frames):
            raise ValueError(
                f"{self.name} needs the camera's backgrounds by day and by night beside each frame: give "
                "--backgrounds, or measure on the checkpoint's own frames"
            )
        self.frames = list(frames) or self.calibration
        self.backgrounds = list(backgrounds) if frames else self.calibration_backgrounds
        self.max_batch = max_batch
        self._reuse = reuse
        self._made: dict[Candidate, Engine] = {}

    def make(self, candidate: Candidate) -> Engine:
        """An engine; the same one when asked again. Raises EngineError where it cannot be had."""
        if candidate not in self._made:
            spec = EngineSpec(
                model=copy.deepcopy(self.model),
                name=self.name,
                precision=candidate.precision,
                cache=self.cache,
                calibration=self.calibration,
                calibration_backgrounds=self.calibration_backgrounds,
                max_batch=self.max_batch,
                reuse=self._reuse,
            )
            self._made[candidate] = module_of(candidate.backend).make(spec)
        return self._made[candidate]

    def key(self, candidate: Candidate) -> EngineKey:
        """What the qualification of a candidate depends on."""
        module = module_of(candidate.backend)
        device, driver = machine.device_and_driver()
        pictures = [*self.frames, *(one for pair in self.backgrounds for one in pair)]
        sources = (qualification_frames.__file__, qualify.__file__, *module.sources())
        return EngineKey(
            checkpoint=self._digest,
            graph=graph_digest(self.model, *sources),
            shape=(1, *self.frames[0].shape[:2]),
            backend=candidate.backend,
            version=module.version(),
            precision=candidate.precision,
            device=device,
            driver=driver,
            flags=(
                ("cores", str(cores.processors())),
                ("golden", qualification_frames.digest(pictures)),  # so named in users' caches
                ("side", str(self.model.side)),
                ("torch", str(torch.__version__)),
                *(() if self._reuse else (("reuse", "off"),)),
            ),
        )

    def qualification(self, candidate: Candidate) -> Qualification:
        """How a candidate does on this machine; measured unless it was before."""
        result = self.qualification_in_time(candidate, _always)
        assert result is not None
        return result

    def qualification_in_time(
        self, candidate: Candidate, goes_on: Callable[[], bool]
    ) -> Qualification | None:
        """``qualification``, or None where it was not measured before and ``goes_on`` says that the time is up.

        It is asked before each step: once compiling has begun, that comes to its end. Then nothing is kept but what
        was compiled.
        """

        def write(folder: Path) -> None:
            self.measure(candidate, goes_on=goes_on).save(folder)

        try:
            return Qualification.load(self.cache.fetch(self.key(candidate), write, label=self.name))
        except _TimeIsUpError:
            return None

    def remeasure(self, candidate: Candidate, *, budget_ms: float | None = None) -> Qualification:
        """``measure``, and keep the result in place of the one before."""
        result = self.measure(candidate, budget_ms=budget_ms)
        self.cache.drop(self.key(candidate))
        self.cache.fetch(self.key(candidate), result.save, label=self.name)
        return result

    def measure(
        self,
        candidate: Candidate,
        *,
        budget_ms: float | None = None,
        goes_on: Callable[[], bool] = _always,
    ) -> Qualification:
        """How a candidate does now. If it raises, the result says so as its fault.

        One log line says that it is measured, another one what came of it and how long that took.
        """
        _go_on(goes_on)
        wanted, eager_ms = self._reference
        if candidate == REFERENCE:
            same = (qualify.MAX_PSNR,) * len(wanted)
            return Qualification(precision=candidate.precision, psnr=same, ms=eager_ms)
        log.info("%s: measuring %s, once on this machine", self.name, candidate, extra=MEASURED)
        began = time.monotonic()
        result = self._measure(candidate, budget_ms, goes_on)
        log.info(
            "%s: %s %s; measured in %.1f s",
            self.name,
            candidate,
            result.mismatch or f"takes {result.ms:.1f} ms a frame, {result.mean:.1f} dB to {REFERENCE}",
            time.monotonic() - began,
            extra=MEASURED,
        )
        return result

    def _measure(
        self,
        candidate: Candidate,
        budget_ms: float | None,
        goes_on: Callable[[], bool],
    ) -> Qualification:
        precision, (wanted, eager_ms) = candidate.precision, self._reference
        try:
            engine = self.make(candidate)
            for height, width in {frame.shape[:2] for frame in self.frames}:
                _go_on(goes_on)
                engine.prepare(height, width)

            @functools.wraps(engine.translate)
            def translate(*given: RgbImage) -> Translation[RgbImage]:
                _go_on(goes_on)
                return engine.translate(*given)

            return qualify.qualify(
                translate,
                wanted,
                self.given,
                precision=precision,
                replaced_ms=eager_ms,
                budget_ms=budget_ms,
                beside=None if machine.device_and_driver()[1] else self.make(REFERENCE).translate,
            )
        except _TimeIsUpError:
            raise
        except Exception as error:  # compilers raise anything
            reason = " ".join(str(error).split())[:300]
            return Qualification(
                precision=precision, fault=f"cannot be run: {type(error).__name__}: {reason}"
            )

    @functools.cached_property
    def _digest(self) -> str:
        return model_digest(self.model)

    @functools.cached_property
    def _reference(self) -> tuple[list[Translation[RgbImage]], float]:
        """What eager fp32 makes of each frame, and the milliseconds that it takes for one."""
        log.info("%s: translating its night frames with %s", self.name, REFERENCE, extra=MEASURED)
        engine = self.make(REFERENCE)
        wanted = [engine.translate(*given) for given in self.given]
        return wanted, qualify.latency_ms(engine.translate, self.given)

    @functools.cached_property
    def given(self) -> list[qualify.Given]:
        """What engines are given, a frame at a time."""
        if not self.backgrounds:
            return [(frame[None],) for frame in self.frames]
        return [
            (frame[None], day[None], night[None])
            for frame, (day, night) in zip(self.frames, self.backgrounds, strict=True)
        ]
