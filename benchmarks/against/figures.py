"""Turns the notes of a contestant into figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.against.notes import Note, Notes


@dataclass(frozen=True, slots=True)
class Figures:
    """How a contestant did in one round.

    Attributes:
        fps: translated frames a second, all cameras together.
        least: the share that the camera with the fewest got of what an equal one would have been, 1 at the most.
        latency_p50, latency_p95: seconds from decoded to written; infinite if nothing was written.
        age_p50, age_p95: seconds from when the camera sent the frame to written, so that what waited in buffers
            before decoding counts; less what the fastest frame of its camera took from there to decoded.
        cpu: cores in use.
    """

    fps: float
    least: float
    latency_p50: float
    latency_p95: float
    age_p50: float
    age_p95: float
    cpu: float


def figures_of(notes: Notes, cameras: int) -> Figures:
    """The figures of a round with so many cameras: of the pictures written while the time counted."""
    counted = [note for note in notes.notes if 0 <= note.written_at - notes.begin < notes.seconds]
    each = [sum(note.camera == camera for note in counted) for camera in range(cameras)]
    latencies = [note.written_at - note.decoded_at for note in counted]
    sent = sent_at(notes.notes)
    ages = [note.written_at - note.position - sent[note.camera] for note in counted]
    return Figures(
        fps=len(counted) / notes.seconds,
        least=min(each) * cameras / len(counted) if counted else 0.0,
        latency_p50=percentile(latencies, 50),
        latency_p95=percentile(latencies, 95),
        age_p50=percentile(ages, 50),
        age_p95=percentile(ages, 95),
        cpu=notes.cpu / notes.seconds,
    )


def sent_at(notes: Iterable[Note]) -> dict[int, float]:
    """When each camera's clock was at 0, monotonic seconds: by the frame that was decoded the soonest."""
    found: dict[int, float] = {}
    for note in notes:
        found[note.camera] = min(found.get(note.camera, math.inf), note.decoded_at - note.position)
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of ``values`` that so many of a hundred do not exceed; infinite where there are none."""
    if not values:
        return math.inf
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def ratio(
    above: Sequence[Figures], below: Sequence[Figures], of: Callable[[Figures], float], digits: int = 2
) -> float:
    """The median of the rounds' ratios of a figure."""
    return round(statistics.median(of(a) / of(b) for a, b in zip(above, below, strict=True)), digits)
