"""Counters of one camera, written by its threads and read by the status line."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

DropReason = Literal["overload", "backlog", "output_slow", "output_failed", "engine_error", "decode_error"]
LATENCY_WINDOW = 1024  # pictures written; of a 25 fps camera with one output, about its last 40 s


@dataclass(frozen=True, slots=True)
class StatsSnapshot:
    """The counters of one camera at one moment. Latencies in seconds from the end of decoding until an output
    has written the picture, None before the first.
    """

    up: bool
    decoded: int
    translated: int
    passed: int
    dropped: dict[str, int]
    reconnects: dict[str, int]
    detections: dict[str, int]
    latency_p50: float | None
    latency_p95: float | None


@dataclass(slots=True)
class CameraStats:
    """Thread-safe counters of one camera. ``detections`` counts boxes by class name since the start."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _up: bool = False
    _decoded: int = 0
    _translated: int = 0
    _passed: int = 0
    _dropped: Counter[str] = field(default_factory=Counter)
    _reconnects: Counter[str] = field(default_factory=Counter)
    _detections: Counter[str] = field(default_factory=Counter)
    _latency: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCY_WINDOW))

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

    def count_reconnect(self, reason: str) -> None:
        """Count one lost connection (or failed try) by its reason."""
        with self._lock:
            self._reconnects[reason] += 1

    def count_detections(self, names: list[str]) -> None:
        """Count the class names found on one frame."""
        with self._lock:
            self._detections.update(names)

    def count_output(self, *, translated: bool) -> None:
        """Count one picture handed to the outputs."""
        with self._lock:
            if translated:
                self._translated += 1
            else:
                self._passed += 1

    def count_latency(self, seconds: float) -> None:
        """Count one picture written by one output, ``seconds`` after its decode."""
        with self._lock:
            self._latency.append(seconds)

    def snapshot(self) -> StatsSnapshot:
        """A consistent copy of every counter."""
        with self._lock:
            p50, p95 = (
                (float(q) for q in np.percentile(self._latency, (50, 95))) if self._latency else (None, None)
            )
            return StatsSnapshot(
                up=self._up,
                decoded=self._decoded,
                translated=self._translated,
                passed=self._passed,
                dropped=dict(self._dropped),
                reconnects=dict(self._reconnects),
                detections=dict(self._detections),
                latency_p50=p50,
                latency_p95=p95,
            )
