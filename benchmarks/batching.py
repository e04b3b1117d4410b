"""``python -m benchmarks.batching``: how full batches across cameras are, and what holding them open is worth.

Cameras at 25 fps, each beginning at its own moment and jittering by two milliseconds, go through the pipeline's loop.
The engine is a stand-in that sleeps as long as one of its kind would take, which leaves the machine's cores to the
loop: ``gpu`` takes 12 ms a batch and half a millisecond a frame, ``cpu`` 4 ms a frame. Each load runs with the batch
window and without it. Told are: frames translated of those offered; the mean batch and its share of the largest that
could be (``max_batch`` or one frame a camera); for how long of the time batches were held open; and frames' latency
from decoded to translated.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import torch

from benchmarks.study.run import hardware
from nightday.engines.backends.base import EngineInfo, Translation
from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, Histogram
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.worker_pool import WorkerPool

RESULT = Path(__file__).parent / "results" / "batching.json"
CLIP = Path(__file__).parent / "clips" / "night_a1_barnet_simulated.mp4"  # never opened
FPS = 25
JITTER = 0.002  # seconds, either way
MAX_BATCH = 16
COSTS: dict[str, tuple[float, float]] = {
    "gpu": (0.012, 0.0005),
    "cpu": (0.0, 0.004),
}  # seconds a batch, a frame
LOADS = {"gpu": (1, 2, 4, 8, 16, 32), "cpu": (1, 2, 4, 8)}
WARM_UP = 1.0  # seconds left out of the latencies


@dataclass(eq=False)
class Asleep:
    """An engine that gives its frames back after a while."""

    batch: float
    frame: float
    sizes: list[int] = field(default_factory=list)
    info: ClassVar[EngineInfo] = EngineInfo("asleep", "fp32", "none")
    device: torch.device | None = None
    at_once: int | None = None
    needs_backgrounds = False

    def prepared(self, height: int, width: int) -> bool:
        """Always."""
        return True

    def prepare(self, height: int, width: int) -> None:
        """Nothing is to be done."""

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        """uint8 (N, H, W, 3) → the same."""
        self.sizes.append(len(frames))
        time.sleep(self.batch + self.frame * len(frames))
        return frames.copy()

    def translate(self, frames: Any, *_: Any) -> Any:
        """As calling it."""
        return Translation(self(frames))


@dataclass(slots=True)
class Clocked:
    """A sink that notes when pictures reach it."""

    since: float
    latencies: list[float] = field(default_factory=list)

    def offer(self, picture: Picture) -> None:
        """Take a picture."""
        now = time.monotonic()
        if picture.frame.decoded_at > self.since:
            self.latencies.append(now - picture.frame.decoded_at)


def run(kind: str, cameras: int, *, window: bool, seconds: float, seed: int) -> dict[str, Any]:
    """One load; see the module."""
    clock, ready, stop = SystemClock(), threading.Condition(), threading.Event()
    engine, batches = Asleep(*COSTS[kind]), Histogram(BATCH_BOUNDS)
    began = clock.monotonic()
    sink = Clocked(began + WARM_UP)
    lines = {}
    for number in range(cameras):
        config = CameraConfig.model_validate({"name": f"c{number}", "url": str(CLIP), "translate": "always"})
        stats = CameraStats()
        slot = LatestSlot(ready=ready, stats=stats)
        lines[config.name] = Channel(config=config, stats=stats, slot=slot, engine=engine)
        lines[config.name].outputs = [sink]  # type: ignore[list-item]
    loop = WorkerPool(lines, ready=ready, max_batch=MAX_BATCH, stop=stop, batches=batches, clock=clock)
    if not window:
        loop.batcher._delay.until = lambda now, **_: now  # type: ignore[method-assign]
    video = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24").reformat(format="yuv420p")
    rng = random.Random(seed)
    moments = sorted(
        (phase + tick / FPS + rng.uniform(-JITTER, JITTER), tick, name)
        for name, phase in ((name, rng.uniform(0, 1 / FPS)) for name in lines)
        for tick in range(round(seconds * FPS))
    )
    loop.start()
    for at, tick, name in moments:
        time.sleep(max(0.0, began + at - clock.monotonic()))
        lines[name].slot.put(Frame(name, video, tick, Fraction(1, FPS), clock.monotonic(), time.time()))
    loop.finish()
    loop.join()
    if loop.error is not None:
        raise loop.error
    mean = statistics.fmean(engine.sizes)
    latencies = sorted(sink.latencies)
    return {
        "engine": kind,
        "cameras": cameras,
        "window": window,
        "translated": round(sum(engine.sizes) / len(moments), 3),
        "mean batch": round(mean, 2),
        "occupancy": round(mean / min(MAX_BATCH, cameras), 2),
        "held": round(loop.batcher.held / (clock.monotonic() - began), 3),
        "p50, ms": round(1e3 * latencies[len(latencies) // 2], 1),
        "p95, ms": round(1e3 * latencies[len(latencies) * 95 // 100], 1),
        "mean, ms": round(1e3 * statistics.fmean(latencies), 1),
    }


def main() -> int:
    """Measure, print and write everything."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batching", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="a load")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    args = parser.parse_args()
    rows = [
        run(kind, cameras, window=window, seconds=args.seconds, seed=args.seed)
        for kind, loads in LOADS.items()
        for cameras in loads
        for window in (True, False)
    ]
    result = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "seconds": args.seconds,
        "seed": args.seed,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
