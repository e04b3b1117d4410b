"""What a frame costs on a CPU, beside an earlier version, and what is shown where the generator is left out.

::

    python -m benchmarks.quiet_scenes /tmp/quiet
    python -m benchmarks.frame_cost /tmp/quiet --before PYTHON WEIGHTS [--result benchmarks/results/frame_cost.json]

PYTHON is an interpreter in which the earlier version is installed, and WEIGHTS its folder of models. Each version
translates the same frames in a process of its own, both on one core, in turns; given are ratios of processor time,
the median of pairs.

Scenes are those of ``benchmarks.quiet_scenes`` and the package's clips. Where a scene has a true day, the picture is
also compared with what the generator gives when it always runs on the whole (``reuse=False``):

| column | what |
|---|---|
| moving, faint | PSNR to the true day where something moves; of its tenth that differs least from n_ref |
| phantoms | blocks of 8×8 pixels a frame in which something is shown where nothing moves |
| longest | frames for which one of these is there without a break |
| flicker | mean change from frame to frame where nothing moves, levels |
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines import load_engine
from nightday.engines.backends.base import Engine
from nightday.engines.bundled import bundled_clips, bundled_weights
from nightday.train.footage.scene import Image, read_frames, temporal_median

from .rounding import rounded

FRAMES, ROUNDS = 40, 5
# A pixel shows something that is not there if it differs so much from the day background; a block if a tenth of it
# does.
SHOWN, SHARE = 20, 0.1
BLOCK = 8

WORKER = """
import json, sys, time
import numpy as np
try:
    from nightday.engines import load_engine
except ImportError:
    from engines import load_engine
clip = np.load(sys.argv[2])
frames, day, night = clip["nights"], clip["day_background"].copy(), clip["night_background"].copy()
day.flags.writeable = night.flags.writeable = False
engine = load_engine(sys.argv[1], "openvino", "int8")
beside = {}
if getattr(engine, "needs_backgrounds", False):
    beside = {"day_background": day[None], "night_background": night[None]}
for frame in frames[:3]:
    engine(frame[None], **beside)
print("ready", flush=True)
for line in sys.stdin:
    first, count = map(int, line.split())
    begun = time.process_time()
    for i in range(first, first + count):
        engine(frames[i % len(frames)][None], **beside)
    print((time.process_time() - begun) / count, flush=True)
"""


def main(argv: list[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frame_cost")
    parser.add_argument("scenes", type=Path, help="what benchmarks.quiet_scenes wrote")
    parser.add_argument("--before", nargs=2, metavar=("PYTHON", "WEIGHTS"), required=True)
    parser.add_argument("--result", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        files = [*sorted(args.scenes.glob("*.npz")), *busy_clips(Path(folder))]
        costs = []
        for file in files:
            for model in ("general.pt", "a1_barnet.pt"):
                costs.append(_cost(file, model, *args.before))
                print(costs[-1], flush=True)
    guards = [row for file in sorted(args.scenes.glob("*.npz")) for row in _guards(file)]
    print(*guards, sep="\n")
    if args.result is not None:
        args.result.write_text(json.dumps(rounded({"cost": costs, "guards": guards}), indent=1) + "\n")
    return 0


def busy_clips(folder: Path) -> list[Path]:
    """The package's busy clips, with backgrounds; Piccadilly's day is its own night brightened, for want of one."""
    clips, made = bundled_clips(), []
    day = temporal_median(read_frames(clips / "day_tfl_09731_a1_barnet.mp4"))
    for name in ("night_a1_barnet_simulated", "night_tfl_07450_piccadilly"):
        nights = read_frames(clips / f"{name}.mp4")
        usual = temporal_median(nights)
        by_day = day if "barnet" in name else np.clip(usual.astype(int) * 3, 0, 255).astype(np.uint8)
        path = folder / f"{name}.npz"
        np.savez(
            path, allow_pickle=False, nights=np.stack(nights), day_background=by_day, night_background=usual
        )
        made.append(path)
    return made


def _cost(file: Path, model: str, python: str, weights: str) -> dict[str, Any]:
    """Processor time of a frame, milliseconds, and how many times as long the earlier version takes."""
    workers = [
        _worker(python, Path(weights) / model, file),
        _worker(sys.executable, bundled_weights(model), file),
    ]
    took: list[list[float]] = [[], []]
    for round_ in range(ROUNDS):
        for times, worker in zip(took, workers, strict=True):
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(f"{round_ * FRAMES} {FRAMES}\n")
            worker.stdin.flush()
            times.append(1e3 * float(worker.stdout.readline()))
    for worker in workers:
        worker.communicate()
    before, now = took
    ratio = statistics.median(a / b for a, b in zip(before, now, strict=True))
    return {
        "scene": file.stem,
        "model": model,
        "before_ms": statistics.median(before),
        "now_ms": statistics.median(now),
        "ratio": ratio,
    }


def _worker(python: str, model: Path, file: Path) -> subprocess.Popen[str]:
    command = [python, "-c", WORKER, str(model), str(file)]
    core = min(os.sched_getaffinity(0))
    worker = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tempfile.gettempdir(),  # the checkout would be found as packages
    )
    assert worker.stdout is not None
    if worker.stdout.readline() != "ready\n":
        raise SystemExit(f"{python} cannot run {model}")
    return worker


def _guards(file: Path) -> list[dict[str, Any]]:
    """What is shown with the generator everywhere, and with it left out where nothing is."""
    clip = np.load(file)
    nights, backgrounds = clip["nights"], (clip["day_background"].copy(), clip["night_background"].copy())
    for picture in backgrounds:
        picture.setflags(write=False)
    rows = []
    for reuse in (False, True):
        engine = load_engine(bundled_weights("general.pt"), "openvino", "int8", reuse=reuse)
        days, ran = _translated(engine, nights, backgrounds)
        row: dict[str, Any] = {
            "scene": file.stem,
            "generator": "where something is" if reuse else "everywhere",
        }
        row["ran"] = float(np.mean(ran))
        rows.append(row | _scores(days, clip["days"], clip["moving"], nights, *backgrounds))
    return rows


def _translated(
    engine: Engine, nights: Sequence[Image], backgrounds: tuple[Image, Image]
) -> tuple[NDArray[np.uint8], list[float]]:
    days, ran = [], []
    for night in nights:
        made = engine.translate(night[None], *(picture[None] for picture in backgrounds))
        days.append(made.day[0])
        ran.append(1.0 if made.ran is None else made.ran[0])
    return np.stack(days), ran


def _scores(
    days: NDArray[np.uint8],
    true: NDArray[np.uint8],
    moving: NDArray[np.bool_],
    nights: NDArray[np.uint8],
    by_day: Image,
    by_night: Image,
) -> dict[str, float]:
    error = np.square(days.astype(np.float32) - true).mean(axis=3)
    contrast = np.abs(nights.astype(int) - by_night).max(axis=3)
    still = ~_grown(moving)
    phantoms = _blocks((np.abs(days.astype(int) - by_day).max(axis=3) > SHOWN) & still) > SHARE
    longest = run = np.zeros(phantoms.shape[1:], int)
    for now in phantoms:
        run = (run + 1) * now
        longest = np.maximum(longest, run)
    change = np.abs(np.diff(days.astype(np.int16), axis=0)).mean(axis=3)
    made = {
        "phantoms": float(phantoms.sum(axis=(1, 2)).mean()),
        "longest": float(longest.max()),
        "flicker": float(change[still[1:] & still[:-1]].mean()),
    }
    if moving.any():
        faint = moving & (contrast <= np.quantile(contrast[moving], 0.1))
        made |= {"moving": _decibels(error[moving].mean()), "faint": _decibels(error[faint].mean())}
    return made


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With all within a block around it."""
    kernel = np.ones((2 * BLOCK + 1, 2 * BLOCK + 1), np.uint8)
    return np.stack([cv2.dilate(one.astype(np.uint8), kernel) > 0 for one in mask])


def _blocks(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of each block, (N, H / 8, W / 8)."""
    count, height, width = mask.shape
    cut = mask[:, : height // BLOCK * BLOCK, : width // BLOCK * BLOCK]
    shares: NDArray[np.float64] = cut.reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(
        axis=(2, 4)
    )
    return shares


def _decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


if __name__ == "__main__":
    raise SystemExit(main())
