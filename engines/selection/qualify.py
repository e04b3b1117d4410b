"""Whether an engine makes the same pictures as eager fp32, and fast enough, of a model's qualification frames."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..backends.base import Translation
from ..model.qualification_frames import RgbImage

# Least mean PSNR to eager fp32, dB, by precision. At 40 dB the difference cannot be seen.
LEAST_PSNR = {"fp32": 40.0, "bf16": 40.0, "fp16": 40.0, "int8": 32.0}

# By how many dB a single frame may lie below that.
FRAME_SLACK = 3.0

# The mean error, grey levels, of what an engine makes of its own picture: a twentieth of all that there is.
MOST_TRUST_ERROR = 12.0

# PSNR, dB, of frames that are the same bit for bit.
MAX_PSNR = 100.0

# Fewest and most timed runs, and the seconds after which no more are begun.
RUNS, RUN_S = (3, 50), 0.5

# The file of a qualification, in its folder of the cache.
VERDICT = "verdict.json"


Given = tuple[RgbImage, ...]
"""What an engine is given for one frame: this and, where it needs them, the backgrounds, uint8 (1, H, W, 3) each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualification:
    """How an engine did on a model's qualification frames.

    Attributes:
        precision: decides the PSNR that is wanted.
        psnr: of each frame to eager fp32, dB, at most 100.
        ms: median time of one frame, milliseconds; NaN where it was not run.
        replaced_ms: time of the engine that it would replace, milliseconds, if there is one.
        budget_ms: the milliseconds that it may take, if a budget was given.
        fault: why it cannot serve at all: it was not built, or what it made is no picture. Empty where it can.
    """

    precision: str
    psnr: tuple[float, ...] = ()
    ms: float = math.nan
    replaced_ms: float | None = None
    budget_ms: float | None = None
    fault: str = ""

    @property
    def mean(self) -> float:
        """Mean PSNR, dB; NaN without frames."""
        return statistics.fmean(self.psnr) if self.psnr else math.nan

    @property
    def mismatch(self) -> str:
        """Why its pictures must not be shown; empty where they may."""
        least = LEAST_PSNR[self.precision]
        if self.fault:
            return self.fault
        if self.mean < least:
            return f"{self.mean:.1f} dB to eager fp32, at least {least:g} are wanted"
        if (worst := min(self.psnr)) < least - FRAME_SLACK:
            return f"{worst:.1f} dB to eager fp32 on one frame, at least {least - FRAME_SLACK:g} are wanted"
        return ""

    @property
    def slow(self) -> str:
        """Why it is not fast enough; empty where it is, or where there is nothing to compare with."""
        faster = self.replaced_ms is not None and self.ms < self.replaced_ms
        within_budget = self.budget_ms is not None and self.ms <= self.budget_ms
        limits = (("what it would replace takes", self.replaced_ms), ("the budget is", self.budget_ms))
        known = ", ".join(f"{what} {ms:.1f}" for what, ms in limits if ms is not None)
        return f"{self.ms:.1f} ms, {known}" if known and not faster and not within_budget else ""

    @property
    def reason(self) -> str:
        """Why it is refused; empty where it is accepted."""
        return self.mismatch or self.slow

    @property
    def accepted(self) -> bool:
        """Whether it may take the place of what it was compared with."""
        return not self.reason

    def save(self, folder: Path) -> None:
        """Write ``verdict.json``."""
        content = asdict(self) | {"ms": None if math.isnan(self.ms) else self.ms}  # JSON has no NaN
        content |= {
            "mean": None if math.isnan(self.mean) else self.mean,
            "reason": self.reason,
        }  # for readers
        (folder / VERDICT).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Qualification:
        """Read what ``save`` wrote."""
        content = json.loads((folder / VERDICT).read_bytes())
        ms = math.nan if content["ms"] is None else content["ms"]
        fields = {name: content[name] for name in ("precision", "replaced_ms", "budget_ms", "fault")}
        return cls(**fields, psnr=tuple(content["psnr"]), ms=ms)


def psnr(picture: RgbImage, reference: RgbImage) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures of one shape, dB, at most 100."""
    error = float(np.square(picture.astype(np.float64) - reference).mean())
    return min(MAX_PSNR, 10 * math.log10(255**2 / error)) if error else MAX_PSNR


def qualify(
    candidate: Callable[..., Translation[RgbImage]],
    reference: Sequence[Translation[RgbImage]],
    frames: Sequence[Given],
    *,
    precision: str,
    replaced_ms: float | None = None,
    budget_ms: float | None = None,
    beside: Callable[..., object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Qualification:
    """Compare an engine with eager fp32.

    It is accepted when the mean PSNR reaches 40 dB (int8: 32), no frame lies more than 3 dB below that, and the
    median time of a frame beats what it would replace or meets the budget, where either is given.

    Args:
        candidate: the engine's ``translate``; its first run of each size is not timed.
        reference: what eager fp32 makes of each frame.
        frames: at least one frame, with its backgrounds where the engine needs them.
        precision: of the candidate.
        replaced_ms: time of the engine that it would replace, milliseconds.
        budget_ms: the milliseconds that a frame may take.
        beside: ``translate`` of the engine that it would replace, which is run in turns with the candidate where
            other programs may take the processor: what counts then is how many times as long as that one it takes.
        clock: gives seconds.
    """
    ratios = []
    for i, (given, wanted) in enumerate(zip(frames, reference, strict=True)):
        made = candidate(*given)
        fault = _fault(made.day, wanted.day)
        if not fault and wanted.trust is not None:
            everywhere = made.ran is None or made.ran[0] >= 1
            # Where the generator did not run, what is unclear is told of the night background and not of the frame.
            fault = _trust_fault(made.trust, wanted.trust, shares=3 if everywhere else 1)
        if fault:
            return Qualification(precision=precision, fault=f"of qualification frame {i} it makes {fault}")
        ratios.append(psnr(made.day[0].astype(np.uint8), wanted.day[0]))
    if beside is None or replaced_ms is None:
        ms = latency_ms(candidate, frames, clock=clock)
    else:
        ms = replaced_ms * times_as_long(candidate, beside, frames, clock=clock)
    return Qualification(
        precision=precision,
        psnr=tuple(ratios),
        ms=ms,
        replaced_ms=replaced_ms,
        budget_ms=budget_ms,
    )


def latency_ms(
    engine: Callable[..., object],
    frames: Sequence[Given],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Median time of one frame by itself, milliseconds, over 3 to 50 runs in about half a second.

    ``engine`` must have run frames of these sizes before.
    """
    fewest, most = RUNS
    began, times = clock(), list[float]()
    while len(times) < fewest or (len(times) < most and clock() - began < RUN_S):
        given = frames[len(times) % len(frames)]
        before = clock()
        engine(*given)
        times.append(clock() - before)
    return statistics.median(times) * 1000


def times_as_long(
    engine: Callable[..., object],
    other: Callable[..., object],
    frames: Sequence[Given],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """How many times as long as the other an engine takes for a frame: the median of 3 to 50 pairs in about a second.

    Both must have run frames of these sizes before.
    """
    fewest, most = RUNS
    began, ratios = clock(), list[float]()
    while len(ratios) < fewest or (len(ratios) < most and clock() - began < 2 * RUN_S):
        given, times = frames[len(ratios) % len(frames)], []
        for each in (engine, other):
            before = clock()
            each(*given)
            times.append(clock() - before)
        ratios.append(times[0] / max(times[1], 1e-9))
    return statistics.median(ratios)


def _fault(made: NDArray[np.generic], wanted: RgbImage) -> str:
    """What is wrong with what an engine made of one frame; empty if it is a picture."""
    if made.shape != wanted.shape:
        return f"{made.shape}, not {wanted.shape}"
    if made.dtype != np.uint8:
        broken = np.issubdtype(made.dtype, np.floating) and not np.isfinite(made).all()
        return f"{made.dtype} with NaN or infinity, not uint8" if broken else f"{made.dtype}, not uint8"
    if made.min() == made.max() and wanted.min() != wanted.max():
        return f"one colour, {int(made.min())}"  # a picture of NaN becomes one colour in uint8
    return ""


def _trust_fault(made: NDArray[np.generic] | None, wanted: RgbImage, *, shares: int) -> str:
    """What is wrong with what an engine makes of its own picture; empty if eager fp32 makes nearly the same of it.

    The first ``shares`` of what was drawn, what is remembered and what is unclear are compared.
    """
    if made is None or made.shape != wanted.shape or made.dtype != np.uint8:
        found = "none" if made is None else f"{made.dtype} {made.shape}"
        return f"{found} of trust, not uint8 {wanted.shape}"
    off = float(np.abs(made.astype(np.int16) - wanted)[..., :shares].mean())
    return f"trust that is off by {off:.1f} levels on average" if off > MOST_TRUST_ERROR else ""
