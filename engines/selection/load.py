"""``load_engine``: a checkpoint on the backend and precision asked for, or on the fastest that draws faithfully."""

from __future__ import annotations

import copy
import functools
import importlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import torch

from ..backends.base import BackendModule, Engine, EngineSpec
from ..cache import machine
from ..cache.engine_cache import EngineCache, EngineKey, graph_digest
from ..choices import Backend, Precision
from ..errors import EngineError
from ..model import qualification_frames
from ..model.checkpoint import model_digest, model_of, read_checkpoint
from ..model.qualification_frames import Picture
from . import qualify
from .qualify import Qualification

log = logging.getLogger(__name__)

# Imported where they are used: openvino takes half a second, torch-tensorrt many.
MODULES = {
    "eager": "nightday.engines.backends.eager",
    "compile": "nightday.engines.backends.torch_compile",
    "openvino": "nightday.engines.backends.openvino.engine",
    "tensorrt": "nightday.engines.backends.tensorrt.engine",
}
# What auto looks at, by the device that PyTorch sees. On CPUs not at compile, which takes a minute to build there and
# is slower than OpenVINO in any precision.
AUTO: dict[str, tuple[Backend, ...]] = {
    "cuda": ("tensorrt", "compile", "eager"),
    "cpu": ("openvino", "eager"),
}
FASTEST_FIRST: tuple[Precision, ...] = ("int8", "fp16", "bf16", "fp32")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend in a precision."""

    backend: Backend
    precision: Precision

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


REFERENCE = Candidate("eager", "fp32")
MIN_TRANSLATED = 64  # pixels; below it nothing of a large frame is left


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

    What ``auto`` leaves open is decided by measurement: every candidate of this machine is held against eager fp32 on
    the checkpoint's golden frames, and of those that draw faithfully the fastest is taken. That takes seconds, once:
    the verdicts are kept in the cache.

    Args:
        checkpoint: a file written by ``nightday-train``.
        backend: ``auto`` looks at those for the GPU if there is one, else at those for the CPU.
        precision: what is given here must be faithful, however fast.
        max_batch: most frames in a batch, for backends that compile for a batch.
        translate_size: shorter side at which large frames are translated before they are lifted to their full size,
            pixels. None takes what the checkpoint was trained at, or else 288; a size no smaller than the frames'
            translates them as they are. See ``lift``.
        cache: of compiled engines and verdicts; by default the user's.

    Raises:
        CheckpointError: the file is missing or is not a checkpoint.
        EngineError: the backend or precision cannot be had here, or does not draw faithfully.
    """
    for name, value, allowed in (("backend", backend, Backend), ("precision", precision, Precision)):
        if value not in get_args(allowed):
            raise EngineError(f"{name} {value!r}: must be one of {', '.join(get_args(allowed))}")
    if translate_size is not None and translate_size < MIN_TRANSLATED:
        raise EngineError(f"translate_size {translate_size}: must be at least {MIN_TRANSLATED} pixels")
    found = candidates(backend, precision)
    bench = Bench(checkpoint, max_batch=max_batch, translate_size=translate_size, cache=cache)
    if found == [REFERENCE]:
        return bench.make(REFERENCE)
    if len(found) == 1 and precision != "auto":
        bench.make(found[0])  # before anything is measured: it may not be there
    verdicts = {candidate: bench.verdict(candidate) for candidate in found}
    if fastest(verdicts) is None:  # what could not be run once, for want of memory say, may run now
        verdicts |= {one: bench.remeasure(one) for one in found if verdicts[one].fault}
    best = fastest(verdicts)
    if best is None:
        told = "; ".join(f"{candidate}: {verdict.unfaithful}" for candidate, verdict in verdicts.items())
        what = f"backend {backend}" if precision == "auto" else f"precision {precision}"
        way = "precision auto" if backend == "auto" else "precision auto, or backend eager"
        raise EngineError(f"{what}: {bench.name} does not draw faithfully with it ({told}); use {way}")
    _tell(bench.name, best, verdicts)
    return bench.make(best)


def candidates(backend: Backend = "auto", precision: Precision = "auto") -> list[Candidate]:
    """What of this can be tried on this machine, the likely fastest first. Raises EngineError if nothing can."""
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
        raise EngineError(f"{what}: this machine has nothing that runs it; use auto")
    return found


def fastest(verdicts: Mapping[Candidate, Qualification]) -> Candidate | None:
    """The candidate to serve: of the faithful ones the fastest; None if none is."""
    faithful = [candidate for candidate, verdict in verdicts.items() if not verdict.unfaithful]
    return min(faithful, key=lambda candidate: verdicts[candidate].ms, default=None)


def module_of(backend: Backend) -> BackendModule:
    """The module of a backend. Raises EngineError where it or what it stands on is not installed."""
    if backend not in MODULES:
        raise EngineError(f"backend {backend}: not built in this version; use {', '.join(MODULES)}")
    try:
        return cast(BackendModule, importlib.import_module(MODULES[backend]))
    except ImportError as error:
        told = " ".join(str(error).split())
        raise EngineError(
            f"backend {backend}: cannot be imported ({told}); install it, or use auto"
        ) from None


class Bench:
    """Makes engines of one checkpoint, and measures each once on a machine.

    Args:
        checkpoint: the file.
        max_batch, translate_size, cache: see ``load_engine``.
        frames: to measure on, uint8 RGB (H, W, 3) each; by default the checkpoint's golden frames.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        max_batch: int = 8,
        translate_size: int | None = None,
        cache: EngineCache | None = None,
        frames: Sequence[Picture] = (),
    ) -> None:
        content = read_checkpoint(checkpoint)
        self.name = Path(checkpoint).name
        self.cache = cache or EngineCache()
        self.model = model_of(content, checkpoint)
        if translate_size is not None:
            self.model.side = translate_size
        self.golden = qualification_frames.frames_of(content, checkpoint)
        self.frames = list(frames) or self.golden
        self.max_batch = max_batch
        self._made: dict[Candidate, Engine] = {}

    def make(self, candidate: Candidate) -> Engine:
        """An engine; the same one when asked again. Raises EngineError where it cannot be had."""
        if candidate not in self._made:
            order = EngineSpec(
                model=copy.deepcopy(self.model),
                name=self.name,
                precision=candidate.precision,
                cache=self.cache,
                calibration=self.golden,
                max_batch=self.max_batch,
            )
            self._made[candidate] = module_of(candidate.backend).make(order)
        return self._made[candidate]

    def key(self, candidate: Candidate) -> EngineKey:
        """What the verdict on a candidate depends on."""
        module = module_of(candidate.backend)
        device, driver = machine.device_and_driver()
        sources = (
            qualification_frames.__file__,
            qualify.__file__,
            sys.modules[MODULES[candidate.backend]].__file__ or "",
        )
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
                ("golden", qualification_frames.digest(self.frames)),
                ("side", str(self.model.side)),
                ("torch", str(torch.__version__)),
            ),
        )

    def verdict(self, candidate: Candidate) -> Qualification:
        """How a candidate does on this machine, measured unless it was before."""
        kept = self.cache.fetch(
            self.key(candidate), lambda folder: self.measure(candidate).save(folder), label=self.name
        )
        return Qualification.load(kept)

    def remeasure(self, candidate: Candidate, *, budget_ms: float | None = None) -> Qualification:
        """``measure``, and keep the verdict in place of that before."""
        verdict = self.measure(candidate, budget_ms=budget_ms)
        self.cache.drop(self.key(candidate))
        self.cache.fetch(self.key(candidate), verdict.save, label=self.name)
        return verdict

    def measure(self, candidate: Candidate, *, budget_ms: float | None = None) -> Qualification:
        """How a candidate does now. What it raises is its fault, told in the verdict."""
        log.info(
            "%s: measuring %s, once on this machine", self.name, candidate, extra={"event": "engine_measured"}
        )
        precision = candidate.precision
        wanted, eager_ms = self._reference
        if candidate == REFERENCE:
            return Qualification(precision=precision, psnr=(qualify.MOST,) * len(wanted), ms=eager_ms)
        try:
            engine = self.make(candidate)
            for height, width in {frame.shape[:2] for frame in self.frames}:
                engine.prepare(height, width)
            return qualify.qualify(
                engine, wanted, self.frames, precision=precision, replaced_ms=eager_ms, budget_ms=budget_ms
            )
        except Exception as error:  # compilers raise anything
            told = " ".join(str(error).split())[:300]
            return Qualification(precision=precision, fault=f"cannot be run: {type(error).__name__}: {told}")

    @functools.cached_property
    def _digest(self) -> str:
        return model_digest(self.model)

    @functools.cached_property
    def _reference(self) -> tuple[list[Picture], float]:
        """What eager fp32 makes of each frame, and its time of one in milliseconds."""
        engine = self.make(REFERENCE)
        wanted = [engine(frame[None])[0] for frame in self.frames]
        return wanted, qualify.latency_ms(engine, self.frames)


def _tell(name: str, best: Candidate, verdicts: Mapping[Candidate, Qualification]) -> None:
    """One line on what serves and why."""

    def told(candidate: Candidate) -> str:
        verdict = verdicts[candidate]
        return f"{candidate}: " + (verdict.unfaithful or f"{verdict.mean:.1f} dB, {verdict.ms:.1f} ms")

    others = "; ".join(told(candidate) for candidate in verdicts if candidate != best)
    log.info(
        "%s runs on %s (nightday-engine qualify measures again)",
        name, "; not ".join(filter(None, (told(best), others))), extra={"event": "engine_chosen"},
    )  # fmt: skip
