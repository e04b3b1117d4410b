"""CPU engines compared with eager PyTorch, the pipeline with the bare engine, loading with building; on two cores.

    python -m benchmarks.engines

It prints its figures and writes them to benchmarks/results/engines.json. The things compared run in turns and the
result is the median of the rounds' ratios, so that other work on the machine slows all of them alike.

- ``speed``: each engine compared with eager fp32 of the same model. The faster of int8 and bf16 must be at least
  4 times as fast for compact. Compact has random weights, which take as long as trained ones; light is the shipped
  model.
- ``loop``: decoded frames of four cameras go through the pipeline's workers, with colour conversion and marks but
  without outputs. They must reach at least 0.95 of the rate of OpenVINO's requests alone on the same pictures.
- ``load``: loading an engine from the cache must take at most 5 % of the time that building it takes.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray

from nightday.engines import Engine, EngineError, load_engine
from nightday.engines.backends.openvino.engine import OpenVinoEngine, precisions
from nightday.engines.backends.torch_compile import CompileEngine
from nightday.engines.cache import machine
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.choices import Precision
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import COMPACT
from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, Histogram
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.worker_pool import WorkerPool
from nightday.train.footage.scene import read_frames

ROOT = Path(__file__).parent
CLIP = ROOT / "clips" / "night_a1_barnet_simulated.mp4"
LIGHT = ROOT.parent / "weights" / "a1_barnet.pt"
SIZES = ((288, 352), (360, 640))
BATCHES = (1, 4)
CAMERAS = 4
CORES = 2
MOST = 3.0  # seconds of a round for one engine

Pictures = NDArray[np.uint8]


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write everything; exit 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "engines.json")
    args = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.rounds)
        figures = {
            "command": " ".join(
                ["python -m benchmarks.engines", *(argv if argv is not None else sys.argv[1:])]
            ),
            "date": datetime.date.today().isoformat(),
            "hardware": f"{machine.cpu()}; {len(cores)} of {os.cpu_count()} cores",
            "load average before": round(os.getloadavg()[0], 1),
            "software": f"Python {platform.python_version()}, torch {torch.__version__}, OpenVINO {ov.__version__}",
            "speed": bench.speed(),
            "loop": bench.loop(),
            "load": bench.load(),
        }
    figures["load average after"] = round(os.getloadavg()[0], 1)
    figures["missed"] = missed = list(misses(figures))
    args.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return 1 if missed else 0


def misses(figures: Mapping[str, object]) -> list[str]:
    """The bars that were not met, in words."""
    speed, loop, load = (figures[name] for name in ("speed", "loop", "load"))
    assert isinstance(speed, list)
    assert isinstance(loop, list)
    assert isinstance(load, list)
    found = []
    for row in speed:
        best = max((row["times eager"].get(f"openvino {p}", 0.0) for p in ("int8", "bf16")), default=0.0)
        if row["model"] == "compact" and best < 4:
            found.append(f"{row['model']} {row['size']} batch {row['batch']}: {best} times eager, not 4")
    found += [
        f"loop, {row['engine']}: {row['loop / bare']}, not 0.95" for row in loop if row["loop / bare"] < 0.95
    ]
    found += [
        f"load {row['engine']}: {row['load / build']}, not 0.05" for row in load if row["load / build"] > 0.05
    ]
    return found


class Bench:
    """Models, pictures and engines, each made once."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self._cache = EngineCache(folder / "engines")
        self._rounds = rounds
        nights = read_frames(CLIP)
        self._nights = nights[:: max(len(nights) // 32, 1)][:32]
        self._calibration = self._nights[:8]
        torch.manual_seed(0)
        self._models = {"compact": folder / "compact.pt", "light": LIGHT}
        save_checkpoint(self._models["compact"], NightToDay(COMPACT))

    def _openvino(self, model: str, precision: Precision, cache: EngineCache | None = None) -> OpenVinoEngine:
        return OpenVinoEngine(
            load_checkpoint(self._models[model]),
            name=model,
            precision=precision,
            cache=cache or self._cache,
            calibration=self._calibration,
        )

    def _engines(self, model: str) -> dict[str, Engine]:
        path = self._models[model]
        engines: dict[str, Engine] = {"eager fp32": load_engine(path, "eager", "fp32")}
        try:
            engines["compile fp32"] = CompileEngine(load_checkpoint(path), name=model, precision="fp32")
        except EngineError as error:
            print(error, file=sys.stderr)
        return engines | {f"openvino {p}": self._openvino(model, p) for p in precisions()}

    def speed(self) -> list[dict[str, object]]:
        """Each engine's time of a batch, and how many times as fast as eager it is."""
        rows: list[dict[str, object]] = []
        for model in ("compact", "light"):
            engines = self._engines(model)
            for height, width in SIZES:
                night = [
                    cv2.resize(each, (width, height)).astype(np.uint8)
                    for each in self._nights[: max(BATCHES)]
                ]
                for batch in BATCHES:
                    frames = np.stack(night[:batch])
                    times = in_turns(
                        {name: call_of(engine, frames) for name, engine in engines.items()}, self._rounds
                    )
                    eager = times["eager fp32"]
                    rows.append(
                        {
                            "model": model,
                            "size": f"{width}×{height}",
                            "batch": batch,
                            "ms": {
                                name: round(statistics.median(each) * 1e3, 1) for name, each in times.items()
                            },
                            "times eager": {
                                name: _ratio(eager, each) for name, each in times.items() if each is not eager
                            },
                        }
                    )
                    print(rows[-1], file=sys.stderr)
        return rows

    def loop(self) -> list[dict[str, object]]:
        """The loop with four cameras against the bare requests, by model, in the likely fastest precision."""
        rows: list[dict[str, object]] = []
        for model in ("compact", "light"):
            engine = self._openvino(model, precisions()[0])
            requests = engine.requests(*self._nights[0].shape[:2])
            day = np.empty_like(self._nights[0][None])

            def bare(requests=requests, day=day) -> None:  # type: ignore[no-untyped-def]
                for night in self._nights * CAMERAS:
                    requests.run(night[None], {}, day, None)  # models without backgrounds

            videos = [
                av.VideoFrame.from_ndarray(night, "rgb24").reformat(format="yuv420p")
                for night in self._nights
            ]
            through = functools.partial(_through_loop, engine, videos)
            times = in_turns({"bare": bare, "loop": through}, self._rounds)
            count = len(self._nights) * CAMERAS
            rows.append(
                {
                    "engine": f"{model} {engine.info.precision}",
                    "cameras": CAMERAS,
                    "bare fps": round(count / statistics.median(times["bare"]), 1),
                    "loop fps": round(count / statistics.median(times["loop"]), 1),
                    "loop / bare": _ratio(times["bare"], times["loop"], 3),
                }
            )
            print(rows[-1], file=sys.stderr)
        return rows

    def load(self) -> list[dict[str, object]]:
        """Making the shipped model's engine ready for 352×288, anew and from the cache, processor time too."""
        rows: list[dict[str, object]] = []
        for precision in precisions():
            build: list[float] = []
            load: list[float] = []
            for _ in range(min(self._rounds, 3)):
                with tempfile.TemporaryDirectory() as folder:
                    cache = EngineCache(Path(folder))
                    for times in (build, load):
                        engine = self._openvino("light", precision, cache)
                        began = time.perf_counter()
                        engine.prepare(288, 352)
                        times.append(time.perf_counter() - began)
            rows.append(
                {
                    "engine": f"light {precision}",
                    "build s": round(statistics.median(build), 2),
                    "load s": round(statistics.median(load), 3),
                    "load / build": _ratio(load, build, 3),
                }
            )
            print(rows[-1], file=sys.stderr)
        return rows


def in_turns(work: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of one run of each, by round: the mean of as many runs as fit into a few seconds, at most eight."""
    for run in work.values():
        run()  # what is compiled or allocated is so once
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            began, runs = time.perf_counter(), 0
            while runs < 8 and (not runs or time.perf_counter() - began < MOST):
                run()
                runs += 1
            times[name].append((time.perf_counter() - began) / runs)
    return times


def call_of(engine: Engine, frames: Pictures) -> Callable[[], None]:
    """The engine at work on these frames."""

    def run() -> None:
        engine(frames)

    return run


def _ratio(above: Sequence[float], below: Sequence[float], digits: int = 2) -> float:
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), digits)


def _through_loop(engine: Engine, videos: Sequence[av.VideoFrame]) -> None:
    """All frames of four cameras through the loop, none dropped, as from files at their fastest."""
    ready, clock, stop = threading.Condition(), SystemClock(), threading.Event()
    lines: dict[str, Channel] = {}
    for number in range(CAMERAS):
        config = CameraConfig.model_validate(
            {
                "name": f"camera{number}",
                "url": str(CLIP),
                "pace": "fast",
                "translate": "always",
            }
        )
        stats = CameraStats()
        slot = LatestSlot(ready=ready, stats=stats)
        lines[config.name] = Channel(config=config, stats=stats, slot=slot, engine=engine)
    loop = WorkerPool(
        lines, ready=ready, max_batch=8, stop=stop, batches=Histogram(BATCH_BOUNDS), clock=clock
    )

    def feed(line: Channel) -> None:
        for number, video in enumerate(videos):
            frame = Frame(line.name, video, number, Fraction(1, 25), clock.monotonic(), time.time())
            line.slot.put_wait(frame, cancelled=stop)

    feeders = [threading.Thread(target=feed, args=(line,)) for line in lines.values()]
    for thread in (loop, *feeders):
        thread.start()
    for feeder in feeders:
        feeder.join()
    loop.finish()
    loop.join()
    translated = sum(line.stats.snapshot().translated for line in lines.values())
    if loop.error is not None or translated != len(videos) * CAMERAS:
        raise SystemExit(f"the loop translated {translated} of {len(videos) * CAMERAS} frames: {loop.error}")


if __name__ == "__main__":
    raise SystemExit(main())
