"""``load_engine``: a checkpoint on the backend and precision asked for, or on the fastest that draws faithfully."""

from __future__ import annotations

import copy
import functools
import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import torch

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

# The module of each backend, imported when it is used: openvino takes half a second, torch-tensorrt many.
MODULES = {
    "eager": "nightday.engines.backends.eager",
    "compile": "nightday.engines.backends.torch_compile",
    "openvino": "nightday.engines.backends.openvino.engine",
    "tensorrt": "nightday.engines.backends.tensorrt.engine",
}
# What ``auto`` tries, by the device that PyTorch sees. On CPUs ``compile`` is left out: it takes a minute to build
# there and is slower than OpenVINO in every precision.
AUTO: dict[str, tuple[Backend, ...]] = {
    "cuda": ("tensorrt", "compile", "eager"),
    "cpu": ("openvino", "eager"),
}
FASTEST_FIRST: tuple[Precision, ...] = ("int8", "fp16", "bf16", "fp32")

# Smallest ``translate_size``, pixels: below it nothing of a large frame is left.
MIN_TRANSLATED = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend in a precision."""

    backend: Backend
    precision: Precision

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


REFERENCE = Candidate("eager", "fp32")


def load_engine(
    checkpoint: str | Path,
    backend: Backend = "auto",
    precision: Precision = "auto",
    *,
    max_batch: int = 8,
    translate_size: int | None = None,
    cache: EngineCache | None = None,
) -> Engine:
    """Load a checkpoint on a backend.

    What ``auto`` leaves open is decided by measurement: every candidate of this machine is compared with eager fp32
    on the checkpoint's qualification frames, and the fastest whose picture matches is taken. That takes
    seconds, once: the results are kept in the cache.

    Args:
        checkpoint: a file written by ``nightday-train``.
        backend: ``auto`` tries those for the GPU if there is one, else those for the CPU.
        precision: one that is named here must match eager fp32's picture, but need not be faster.
        max_batch: most frames in a batch, for backends that compile for a batch.
        translate_size: shorter side at which large frames are translated before they are lifted to their full size,
            pixels. None takes what the checkpoint was trained at, or else 288; a size no smaller than the frames'
            translates them as they are. See ``lift``.
        cache: of compiled engines and qualifications; by default the user's.

    Raises:
        CheckpointError: the file is missing or is not a checkpoint.
        EngineError: the backend or precision cannot be had here, or its picture does not match.
    """
    _check_choice("backend", backend, get_args(Backend))
    _check_choice("precision", precision, get_args(Precision))
    if translate_size is not None and translate_size < MIN_TRANSLATED:
        raise EngineError(
            f"translate_size {translate_size}: must be at least {MIN_TRANSLATED} pixels",
            setting="translate_size",
        )
    found = candidates(backend, precision)
    engines = CandidateEngines(checkpoint, max_batch=max_batch, translate_size=translate_size, cache=cache)
    if found == [REFERENCE]:
        return engines.make(REFERENCE)
    if len(found) == 1 and precision != "auto":
        engines.make(found[0])  # before anything is measured: it may not be there
    results = {candidate: engines.qualification(candidate) for candidate in found}
    if fastest(results) is None:  # what could not be run before, for want of memory for example, may run now
        results |= {one: engines.remeasure(one) for one in found if results[one].fault}
    best = fastest(results)
    if best is None:
        reasons = "; ".join(f"{candidate}: {result.mismatch}" for candidate, result in results.items())
        what = f"backend {backend}" if precision == "auto" else f"precision {precision}"
        way_out = "precision auto" if backend == "auto" else "precision auto, or backend eager"
        raise EngineError(
            f"{what}: {engines.name} gives another picture with it than {REFERENCE} ({reasons}); use {way_out}",
            setting="backend" if precision == "auto" else "precision",
        )
    _log_choice(engines.name, best, results)
    return engines.make(best)


def check_engine(
    checkpoint: str | Path, backend: Backend = "auto", precision: Precision = "auto", *, max_batch: int = 8
) -> None:
    """Raise what ``load_engine`` would raise before it measures: CheckpointError or EngineError. Compiles nothing."""
    _check_choice("backend", backend, get_args(Backend))
    _check_choice("precision", precision, get_args(Precision))
    found = candidates(backend, precision)
    engines = CandidateEngines(checkpoint, max_batch=max_batch)
    if len(found) == 1 and precision != "auto":
        engines.make(found[0])


def _check_choice(setting: Literal["backend", "precision"], value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise EngineError(f"{setting} {value!r}: must be one of {', '.join(allowed)}", setting=setting)


def candidates(backend: Backend = "auto", precision: Precision = "auto") -> list[Candidate]:
    """What can be tried of this on this machine, the likely fastest first. Raises EngineError if nothing can."""
    if backend != "auto" and precision != "auto":
        return [Candidate(backend, precision)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = []
    for name in AUTO[device] if backend == "auto" else (backend,):
        try:
            offered = module_of(name).precisions()
        except EngineError:
            if backend != "auto":
                raise
            continue
        found += [
            Candidate(name, one) for one in FASTEST_FIRST if one in offered and precision in ("auto", one)
        ]
    if not found:
        what = f"precision {precision}" if backend == "auto" else f"backend {backend}"
        raise EngineError(
            f"{what}: this machine has nothing that runs it; use auto",
            setting="precision" if backend == "auto" else "backend",
        )
    return found


def fastest(results: Mapping[Candidate, Qualification]) -> Candidate | None:
    """The candidate to serve: the fastest whose picture matches eager fp32's; None if none does."""
    matching = [candidate for candidate, result in results.items() if not result.mismatch]
    return min(matching, key=lambda candidate: results[candidate].ms, default=None)


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
        max_batch, translate_size, cache: see ``load_engine``.
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
                ("cores", str(machine.cores())),
                ("golden", qualification_frames.digest(pictures)),  # so named in users' caches
                ("side", str(self.model.side)),
                ("torch", str(torch.__version__)),
            ),
        )

    def qualification(self, candidate: Candidate) -> Qualification:
        """How a candidate does on this machine; measured unless it was before."""
        kept = self.cache.fetch(
            self.key(candidate), lambda folder: self.measure(candidate).save(folder), label=self.name
        )
        return Qualification.load(kept)

    def remeasure(self, candidate: Candidate, *, budget_ms: float | None = None) -> Qualification:
        """``measure``, and keep the result in place of the one before."""
        result = self.measure(candidate, budget_ms=budget_ms)
        self.cache.drop(self.key(candidate))
        self.cache.fetch(self.key(candidate), result.save, label=self.name)
        return result

    def measure(self, candidate: Candidate, *, budget_ms: float | None = None) -> Qualification:
        """How a candidate does now. If it raises, the result says so as its fault."""
        log.info(
            "%s: measuring %s, once on this machine", self.name, candidate, extra={"event": "engine_measured"}
        )
        precision = candidate.precision
        wanted, eager_ms = self._reference
        if candidate == REFERENCE:
            same = (qualify.MAX_PSNR,) * len(wanted)
            return Qualification(precision=precision, psnr=same, ms=eager_ms)
        try:
            engine = self.make(candidate)
            for height, width in {frame.shape[:2] for frame in self.frames}:
                engine.prepare(height, width)
            return qualify.qualify(
                engine.translate,
                wanted,
                self._given,
                precision=precision,
                replaced_ms=eager_ms,
                budget_ms=budget_ms,
            )
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
        engine = self.make(REFERENCE)
        wanted = [engine.translate(*given) for given in self._given]
        return wanted, qualify.latency_ms(engine.translate, self._given)

    @functools.cached_property
    def _given(self) -> list[qualify.Given]:
        """What engines are given, a frame at a time."""
        if not self.backgrounds:
            return [(frame[None],) for frame in self.frames]
        return [
            (frame[None], day[None], night[None])
            for frame, (day, night) in zip(self.frames, self.backgrounds, strict=True)
        ]


def _log_choice(name: str, best: Candidate, results: Mapping[Candidate, Qualification]) -> None:
    """Log one line on what serves and why."""

    def described(candidate: Candidate) -> str:
        result = results[candidate]
        return f"{candidate}: " + (result.mismatch or f"{result.ms:.1f} ms a frame, {result.mean:.1f} dB")

    others = "; ".join(described(candidate) for candidate in results if candidate != best)
    chosen, reference = results[best], f"the same picture as {REFERENCE}"
    log.info(
        "%s: using %s, %.1f ms a frame, %s (%.1f dB)%s",
        name,
        best,
        chosen.ms,
        reference,
        chosen.mean,
        f"; not used: {others}. nightday-engine qualify measures again" if others else "",
        extra={"event": "engine_chosen"},
    )
