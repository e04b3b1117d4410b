"""``load_engine``: a checkpoint on the backend and precision asked for, or on the fastest that draws faithfully."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import torch

from ..backends.base import Engine
from ..cache.engine_cache import EngineCache
from ..choices import Backend, Precision
from ..errors import EngineError
from .candidate_engines import MODULES, REFERENCE, Candidate, CandidateEngines, module_of
from .qualify import Qualification

__all__ = [
    "AUTO",
    "MODULES",
    "REFERENCE",
    "Candidate",
    "CandidateEngines",
    "candidates",
    "check_engine",
    "fastest",
    "load_engine",
]

log = logging.getLogger(__name__)

# What ``auto`` tries, by the device that PyTorch sees. On CPUs ``compile`` is left out: it takes a minute to build
# there and is slower than OpenVINO in every precision.
AUTO: dict[str, tuple[Backend, ...]] = {
    "cuda": ("tensorrt", "compile", "eager"),
    "cpu": ("openvino", "eager"),
}
FASTEST_FIRST: tuple[Precision, ...] = ("int8", "fp16", "bf16", "fp32")

# For how many seconds ``auto`` measures candidates before it takes the fastest of those that match so far.
MEASURED_S = 20.0

# Smallest ``translate_size``, pixels: below it nothing of a large frame is left.
MIN_TRANSLATED = 64


def load_engine(
    checkpoint: str | Path,
    backend: Backend = "auto",
    precision: Precision = "auto",
    *,
    max_batch: int = 8,
    translate_size: int | None = None,
    reuse: bool = True,
    measure_for: float = MEASURED_S,
    cache: EngineCache | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Engine:
    """Load a checkpoint on a backend.

    What ``auto`` leaves open is decided by measurement: every candidate of this machine is compared with eager fp32
    on the checkpoint's qualification frames, and the fastest whose picture matches is taken. That takes
    ``measure_for`` seconds at most, unless none matches by then, and once: the results are kept in the cache. What
    was not measured in that time is measured at the next start.

    Args:
        checkpoint: a file written by ``nightday-train``.
        backend: ``auto`` tries those for the GPU if there is one, else those for the CPU.
        precision: one that is named here must match eager fp32's picture, but need not be faster.
        max_batch: most frames in a batch, for backends that compile for a batch.
        translate_size: shorter side at which large frames are translated before they are lifted to their full size,
            pixels. None takes what the checkpoint was trained at, or else 288; a size no smaller than the frames'
            translates them as they are. See ``lift``.
        reuse: leave the generator out where a picture does not differ from its camera's backgrounds, on backends that
            can. The picture is the same there.
        measure_for: seconds for which ``auto`` measures what it has not measured before. With 0 it does so only
            where nothing that was measured matches.
        cache: of compiled engines and qualifications; by default the user's.
        clock: gives seconds.

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
    engines = CandidateEngines(
        checkpoint, max_batch=max_batch, translate_size=translate_size, cache=cache, reuse=reuse
    )
    if found == [REFERENCE]:
        return engines.make(REFERENCE)
    if len(found) == 1 and precision != "auto":
        engines.make(found[0])  # before anything is measured: it may not be there
    results = _measured(engines, found, measure_for, clock)
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
    _log_choice(engines.name, best, results, [one for one in found if one not in results])
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


def _measured(
    engines: CandidateEngines, found: Sequence[Candidate], seconds: float, clock: Callable[[], float]
) -> dict[Candidate, Qualification]:
    """How candidates do on this machine: all of them, or those that were measured before the time was up.

    At least one of them matches eager fp32, unless none does.
    """
    began = clock()
    results: dict[Candidate, Qualification] = {}

    def goes_on() -> bool:
        return clock() - began < seconds or fastest(results) is None

    for candidate in found:
        if candidate == REFERENCE:  # it has run already, to measure the others
            results[candidate] = engines.qualification(candidate)
        elif (result := engines.qualification_in_time(candidate, goes_on)) is not None:
            results[candidate] = result
    return results


def fastest(results: Mapping[Candidate, Qualification]) -> Candidate | None:
    """The candidate to serve: the fastest whose picture matches eager fp32's; None if none does."""
    matching = [candidate for candidate, result in results.items() if not result.mismatch]
    return min(matching, key=lambda candidate: results[candidate].ms, default=None)


def _log_choice(
    name: str, best: Candidate, results: Mapping[Candidate, Qualification], unmeasured: Sequence[Candidate]
) -> None:
    """Log one line on what serves and why."""

    def described(candidate: Candidate) -> str:
        result = results[candidate]
        return f"{candidate}: " + (result.mismatch or f"{result.ms:.1f} ms a frame, {result.mean:.1f} dB")

    others = "; ".join(described(candidate) for candidate in results if candidate != best)
    more = f"; not used: {others}" if others else ""
    if unmeasured:
        left = ", ".join(map(str, unmeasured))
        more += f"; not measured in the time for it, but at the next start: {left}"
    chosen, reference = results[best], f"the same picture as {REFERENCE}"
    log.info(
        "%s: using %s, %.1f ms a frame, %s (%.1f dB)%s",
        name,
        best,
        chosen.ms,
        reference,
        chosen.mean,
        f"{more}. nightday-engine qualify measures again" if more else "",
        extra={"event": "engine_chosen"},
    )
