"""Whether an engine draws what eager fp32 draws, and soon enough, on a model's golden frames."""

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

from ..model.qualification_frames import Picture

BARS = {"fp32": 40.0, "bf16": 40.0, "fp16": 40.0, "int8": 32.0}  # dB; at 40 the difference is not seen
BELOW = 3.0  # dB that one frame alone may lie below the bar
MOST = 100.0  # dB; what frames alike bit for bit are given
RUNS, RUN_S = (3, 50), 0.5  # fewest and most timed runs, and the seconds after which there are no more

VERDICT = "verdict.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualification:
    """How an engine did on a model's golden frames.

    Attributes:
        precision: what its bar is chosen by.
        psnr: of each frame to eager fp32, dB, at most 100.
        ms: median time of one frame, milliseconds; NaN where it was not run.
        replaced_ms: time of the engine that it is to replace, if any.
        budget_ms: what it may take, where that was said.
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
    def unfaithful(self) -> str:
        """Why its pictures are not to be shown; empty where they are."""
        bar = BARS[self.precision]
        if self.fault:
            return self.fault
        if self.mean < bar:
            return f"{self.mean:.1f} dB to eager fp32, at least {bar:g} are wanted"
        if (worst := min(self.psnr)) < bar - BELOW:
            return f"{worst:.1f} dB to eager fp32 on one frame, at least {bar - BELOW:g} are wanted"
        return ""

    @property
    def slow(self) -> str:
        """Why it gains nothing; empty where it does, or where there is nothing to compare with."""
        beats = self.replaced_ms is not None and self.ms < self.replaced_ms
        meets = self.budget_ms is not None and self.ms <= self.budget_ms
        limits = (("what it would replace takes", self.replaced_ms), ("the budget is", self.budget_ms))
        told = ", ".join(f"{what} {ms:.1f}" for what, ms in limits if ms is not None)
        return f"{self.ms:.1f} ms, {told}" if told and not beats and not meets else ""

    @property
    def reason(self) -> str:
        """Why it is refused; empty where it is accepted."""
        return self.unfaithful or self.slow

    @property
    def accepted(self) -> bool:
        """Whether it may take the place of what it was compared with."""
        return not self.reason

    def save(self, folder: Path) -> None:
        """Write ``verdict.json``."""
        told = asdict(self) | {"ms": None if math.isnan(self.ms) else self.ms}  # NaN is no JSON
        told |= {"mean": None if math.isnan(self.mean) else self.mean, "reason": self.reason}  # for readers
        (folder / VERDICT).write_text(json.dumps(told, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Qualification:
        """Read what ``save`` wrote."""
        told = json.loads((folder / VERDICT).read_bytes())
        ms = math.nan if told["ms"] is None else told["ms"]
        fields = {name: told[name] for name in ("precision", "replaced_ms", "budget_ms", "fault")}
        return cls(**fields, psnr=tuple(told["psnr"]), ms=ms)


def psnr(picture: Picture, reference: Picture) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures of one shape, dB, at most 100."""
    error = float(np.square(picture.astype(np.float64) - reference).mean())
    return min(MOST, 10 * math.log10(255**2 / error)) if error else MOST


def qualify(
    candidate: Callable[[Picture], NDArray[np.generic]],
    reference: Sequence[Picture],
    golden: Sequence[Picture],
    *,
    precision: str,
    replaced_ms: float | None = None,
    budget_ms: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Qualification:
    """Hold an engine against eager fp32.

    It is accepted when the mean PSNR reaches 40 dB (int8: 32), no frame lies more than 3 dB below that, and the
    median time of a frame beats what it would replace or meets the budget, where either is given.

    Args:
        candidate: the engine, uint8 RGB (1, H, W, 3) to the same; its first run of each size is not timed.
        reference: what eager fp32 makes of each golden frame, uint8 RGB (H, W, 3).
        golden: at least one frame, uint8 RGB (H, W, 3).
        precision: of the candidate.
        replaced_ms: time of the engine that it is to replace, milliseconds.
        budget_ms: what a frame may take, milliseconds.
        clock: seconds.
    """
    ratios = []
    for i, (frame, wanted) in enumerate(zip(golden, reference, strict=True)):
        made = candidate(frame[None])
        if fault := _fault(made, wanted):
            return Qualification(precision=precision, fault=f"of golden frame {i} it makes {fault}")
        ratios.append(psnr(made[0].astype(np.uint8), wanted))
    return Qualification(
        precision=precision,
        psnr=tuple(ratios),
        ms=latency_ms(candidate, golden, clock=clock),
        replaced_ms=replaced_ms,
        budget_ms=budget_ms,
    )


def latency_ms(
    engine: Callable[[Picture], object],
    golden: Sequence[Picture],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Median time of one frame by itself, milliseconds; 3 to 50 runs, about half a second. ``engine`` is warm."""
    fewest, most = RUNS
    began, times = clock(), list[float]()
    while len(times) < fewest or (len(times) < most and clock() - began < RUN_S):
        frame = golden[len(times) % len(golden)][None]
        before = clock()
        engine(frame)
        times.append(clock() - before)
    return statistics.median(times) * 1000


def _fault(made: NDArray[np.generic], wanted: Picture) -> str:
    """What is wrong with an answer to one frame, empty if it is a picture."""
    if made.shape != (1, *wanted.shape):
        return f"{made.shape}, not {(1, *wanted.shape)}"
    if made.dtype != np.uint8:
        broken = np.issubdtype(made.dtype, np.floating) and not np.isfinite(made).all()
        return f"{made.dtype} with NaN or infinity, not uint8" if broken else f"{made.dtype}, not uint8"
    if made.min() == made.max() and wanted.min() != wanted.max():
        return f"one colour, {int(made.min())}"  # what NaN becomes in uint8 is one, too
    return ""
