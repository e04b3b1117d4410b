"""What leaving the generator out saves and costs: an engine beside itself without that."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from . import qualify
from .candidate_engines import Candidate, CandidateEngines

# How often each of the two is timed. What else the machine does changes from second to second.
TURNS = 3


@dataclass(frozen=True, slots=True)
class WithoutReuse:
    """An engine that runs its generator on the whole of every picture, beside one that leaves it out.

    Attributes:
        share: of the pictures, [0, 1], on which the generator of the other one ran.
        ms: median times of one frame with reuse and without, milliseconds, taken in turns.
        psnr: of each frame with reuse to the same without, dB, at most 100.
    """

    share: float
    ms: tuple[float, float]
    psnr: tuple[float, ...]


def without_reuse(
    candidate: Candidate, reusing: CandidateEngines, everywhere: CandidateEngines
) -> WithoutReuse | None:
    """Compare a candidate with itself without reuse, on the frames of ``reusing``.

    Returns None where it runs its generator on all of every picture anyway. ``everywhere`` are the engines of the
    same checkpoint without reuse. Raises what compiling and running raise.
    """
    engine = reusing.make(candidate)
    if engine.translate(*reusing.given[0]).ran is None:
        return None
    made = [engine.translate(*given) for given in reusing.given]
    shares = [one for each in made for one in each.ran or ()]
    whole = everywhere.make(candidate)
    wanted = [whole.translate(*given) for given in reusing.given]
    times = [qualify.latency_ms(one.translate, reusing.given) for one in (engine, whole) * TURNS]
    return WithoutReuse(
        share=statistics.fmean(shares),
        ms=(statistics.median(times[::2]), statistics.median(times[1::2])),
        psnr=tuple(qualify.psnr(one.day[0], other.day[0]) for one, other in zip(made, wanted, strict=True)),
    )
