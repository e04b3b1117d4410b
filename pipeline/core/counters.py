"""Counters that the pipeline's threads raise, and monitoring reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from .event_log import name_of
from .events import EngineChanged, Event
from .found import FoundCounts, FoundSnapshot

DropReason = Literal[
    "overload",
    "stale",
    "backlog",
    "skipped",
    "output_slow",
    "output_failed",
    "engine_error",
    "loop_failed",
    "decode_error",
    "no_lease",
]
TOO_SLOW: tuple[DropReason, ...] = ("overload", "stale", "skipped")
"""Reasons that a faster machine, fewer cameras or smaller pictures would take away."""
Collected = Literal["day", "night", "failed"]
"""A picture collected for training: by day, by night, or lost because it could not be written."""
Ran = Literal["whole", "parts", "none"]
"""Whether a picture's generator ran on all of it, in parts of it, or not at all."""
Stage = Literal["translated", "output"]
"""Where a frame's latency, which begins when it is decoded, ends: translated, or written by an output."""

# Seconds. The buckets are narrow where 25 fps cameras lie, and reach up to what only an overloaded machine takes.
LATENCY_BOUNDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)
# Frames.
BATCH_BOUNDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256)
# Pictures whose latency is remembered: about the last 40 s of a 25 fps camera with one output.
LATENCY_WINDOW = 1024
# A picture's weight in the running means of its shares: about the last 10 s at 25 fps.
TRUST_RATE = 1 / 250


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """A histogram at one moment.

    Attributes:
        bounds: upper bounds of the buckets, rising; a value equal to a bound lies below it.
        counts: values in each bucket, and last those above every bound.
        total: sum of the values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Thread-safe counts of values in fixed buckets.

    Args:
        bounds: upper bounds of the buckets, rising.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._lock = threading.Lock()
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._total += value

    def add(self, other: HistogramSnapshot) -> None:
        """Count the values of another histogram with the same bounds."""
        with self._lock:
            self._counts = [a + b for a, b in zip(self._counts, other.counts, strict=True)]
            self._total += other.total

    def snapshot(self) -> HistogramSnapshot:
        """A consistent copy."""
        with self._lock:
            return HistogramSnapshot(self._bounds, tuple(self._counts), self._total)


class EventCounter:
    """Thread-safe counts of events. Its ``count`` is to be subscribed to the run's ``EventBus``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, event: Event) -> None:
        """Count one event: once for each camera it concerns, or once for the whole program."""
        cameras = event.cameras if isinstance(event, EngineChanged) else (event.camera or "",)
        with self._lock:
            self._counts.update((name_of(event), camera) for camera in cameras)

    def add(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Count what another counter has counted."""
        with self._lock:
            self._counts.update(counts)

    def snapshot(self) -> dict[tuple[str, str], int]:
        """How often each has happened, by its name and camera, which is "" for the whole program."""
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True, slots=True)
class StatsSnapshot:
    """The counters of one camera at one moment.

    Attributes:
        up: whether the camera delivers frames.
        decoded: frames decoded.
        translated: pictures translated and handed to the outputs.
        passed: pictures handed to the outputs as the camera sent them.
        brightened: pictures handed to the outputs brightened, since they could not be translated yet.
        dropped: frames that reached no output, or not all of them, by reason.
        reconnects: lost connections and failed tries, by reason.
        detections: boxes found, by class name; the same object counts on each frame.
        detections_reused: pictures that had the detections of the one before, since they were the same.
        collected: pictures collected for training, or lost on the way.
        latency_p50: median latency of the last pictures, in seconds from the end of decoding until an output has
            written the picture; None before the first.
        latency_p95: their 95th percentile.
        latency: all latencies since the start, by stage.
        remembered: mean share of the pictures translated lately that is remembered from the day; None where no
            engine told.
        unclear: the same of what is unclear.
        generator_share: mean share of the pictures translated lately on which the generator ran; None where the
            engine does not tell.
        ran: pictures translated, by where the generator ran; empty where no engine told.
        damaged: frames that came damaged, because packets of them or of what they refer to were lost.
        found: what is where on its pictures, as far as it is followed.
    """

    up: bool
    decoded: int
    translated: int
    passed: int
    dropped: dict[str, int]
    reconnects: dict[str, int]
    detections: dict[str, int]
    collected: dict[str, int]
    latency_p50: float | None
    latency_p95: float | None
    latency: dict[Stage, HistogramSnapshot]
    damaged: int = 0
    brightened: int = 0
    remembered: float | None = None
    unclear: float | None = None
    generator_share: float | None = None
    detections_reused: int = 0
    ran: dict[Ran, int] = field(default_factory=dict)
    found: FoundSnapshot = field(default_factory=FoundSnapshot)


@dataclass(slots=True)
class CameraStats:
    """Thread-safe counters of one camera.

    Attributes:
        found: those of what is where on its pictures.
    """

    found: FoundCounts = field(default_factory=FoundCounts)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _up: bool = False
    _decoded: int = 0
    _translated: int = 0
    _passed: int = 0
    _brightened: int = 0
    _trust: tuple[float, float] | None = None  # running means of what is remembered and what is unclear
    _generator_share: float | None = None
    _ran: Counter[Ran] = field(default_factory=Counter)
    _dropped: Counter[str] = field(default_factory=Counter)
    _damaged: int = 0
    _reconnects: Counter[str] = field(default_factory=Counter)
    _detections: Counter[str] = field(default_factory=Counter)
    _detections_reused: int = 0
    _collected: Counter[str] = field(default_factory=Counter)
    _latency: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCY_WINDOW))
    _stages: dict[Stage, Histogram] = field(
        default_factory=lambda: {stage: Histogram(LATENCY_BOUNDS) for stage in get_args(Stage)}
    )

    def set_up(self, up: bool) -> None:
        """Say whether the camera is delivering frames."""
        with self._lock:
            self._up = up

    def count_decoded(self) -> None:
        """Count one decoded frame."""
        with self._lock:
            self._decoded += 1

    def count_dropped(self, reason: DropReason) -> None:
        """Count one frame that reached no output, or not all of them, by its reason."""
        with self._lock:
            self._dropped[reason] += 1

    def count_damaged(self) -> None:
        """Count one frame that came damaged."""
        with self._lock:
            self._damaged += 1

    def count_reconnect(self, reason: str) -> None:
        """Count one lost connection (or failed try) by its reason."""
        with self._lock:
            self._reconnects[reason] += 1

    def count_detections(self, names: list[str]) -> None:
        """Count the class names found on one frame."""
        with self._lock:
            self._detections.update(names)

    def count_detections_reused(self) -> None:
        """Count one picture for which the detector was not asked, since it was the same as the one before."""
        with self._lock:
            self._detections_reused += 1

    def count_collected(self, what: Collected) -> None:
        """Count one picture collected for training, or lost on the way."""
        with self._lock:
            self._collected[what] += 1

    def count_output(self, *, translated: bool, brightened: bool = False) -> None:
        """Count one picture handed to the outputs."""
        with self._lock:
            if translated:
                self._translated += 1
            elif brightened:
                self._brightened += 1
            else:
                self._passed += 1

    def count_trust(self, *, remembered: float, unclear: float) -> None:
        """Count the shares of one translated picture, 0 to 1 each."""
        with self._lock:
            before = self._trust or (remembered, unclear)
            self._trust = (
                before[0] + TRUST_RATE * (remembered - before[0]),
                before[1] + TRUST_RATE * (unclear - before[1]),
            )

    def count_ran(self, share: float | None) -> None:
        """Count one translated picture by the share of it, 0 to 1, on which the generator ran.

        None, where the engine does not tell, ends the mean.
        """
        with self._lock:
            if share is not None:
                self._ran["whole" if share >= 1 else "parts" if share > 0 else "none"] += 1
                before = self._generator_share
                share = share if before is None else before + TRUST_RATE * (share - before)
            self._generator_share = share

    def count_latency(self, seconds: float, *, stage: Stage = "output") -> None:
        """Count one frame translated, or one picture written by one output, ``seconds`` after its decode."""
        self._stages[stage].observe(seconds)
        if stage == "output":
            with self._lock:
                self._latency.append(seconds)

    def snapshot(self) -> StatsSnapshot:
        """A consistent copy of every counter, except that ``latency`` may be a frame ahead."""
        found = self.found.snapshot()
        with self._lock:
            recent = list(self._latency)
            counted = StatsSnapshot(
                up=self._up,
                decoded=self._decoded,
                translated=self._translated,
                passed=self._passed,
                brightened=self._brightened,
                remembered=None if self._trust is None else self._trust[0],
                unclear=None if self._trust is None else self._trust[1],
                generator_share=self._generator_share,
                ran=dict(self._ran),
                dropped=dict(self._dropped),
                damaged=self._damaged,
                reconnects=dict(self._reconnects),
                detections=dict(self._detections),
                detections_reused=self._detections_reused,
                collected=dict(self._collected),
                latency_p50=None,
                latency_p95=None,
                found=found if self._up else found.out_of_sight(),
                latency={stage: histogram.snapshot() for stage, histogram in self._stages.items()},
            )
        if not recent:
            return counted
        # It takes 0.1 ms, outside the lock, so that no frame waits for it.
        p50, p95 = (float(q) for q in np.percentile(recent, (50, 95)))
        return replace(counted, latency_p50=p50, latency_p95=p95)
