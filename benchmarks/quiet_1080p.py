"""What a quiet camera of 1920×1080 takes of the processor, recorded and restreamed: this build and an earlier one.

    git worktree add ../earlier 47a2f3a
    python -m benchmarks.quiet_1080p --earlier ../earlier --json benchmarks/results/quiet_1080p.json

The camera is a yard by night before which nothing happens (synthetic: a real camera's empty day, enlarged, as a night
with sensor noise, in H.264 of 4 Mbit/s at 12 pictures a second). It is played at its own pace, translated by the
general model, recorded as MP4 and restreamed to an RTSP server beside it, whose time does not count. The earlier
build's model has an x_ref of its own; this one is given the yard's backgrounds. Builds take turns.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import yaml

from benchmarks.against.material import clip
from benchmarks.quiet_scenes import EXPOSURE
from benchmarks.remembered import remember
from nightday.engines.bundled import bundled_clips
from nightday.engines.cache import machine
from nightday.engines.cores import processors
from nightday.train.footage.night_conditions import FIXED_NIGHTS
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, clip_median
from tests.support.ports import lasting_port
from tests.support.rtsp_server import RtspServer

HEIGHT, WIDTH = 1080, 1920
FRAMES, RATE, BIT_RATE = 48, 12, 4_000_000
# Pictures that the night background is the median of.
LEARNT = 15
BAR = 0.3


def main(argv: list[str] | None = None) -> int:
    """Measure and print; exit 1 if the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quiet_1080p")
    parser.add_argument("--earlier", type=Path, required=True, help="a checkout of the earlier build")
    parser.add_argument("--seconds", type=float, default=40.0, help="that count of each run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args(argv)
    earlier = args.earlier.resolve()
    rows: dict[str, list[dict[str, float]]] = {"earlier": [], "now": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        day, night = _yard(folder / "yard.mp4")
        for _ in range(args.rounds):
            for build, path in (("earlier", earlier), ("now", None)):
                work = folder / build
                work.mkdir(exist_ok=True)
                rows[build].append(_run(path, folder / "yard.mp4", (day, night), work, args.seconds))
                print(build, rows[build][-1], file=sys.stderr)
    ratios = [
        now["processors"] / then["processors"] for then, now in zip(rows["earlier"], rows["now"], strict=True)
    ]
    figures = {
        "command": "python -m benchmarks.quiet_1080p",
        "date": datetime.date.today().isoformat(),
        "hardware": f"{machine.cpu()}; {processors()} processors",
        "seconds": args.seconds,
        **rows,
        "now / earlier": round(statistics.median(ratios), 3),
        "bar": BAR,
    }
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 0 if statistics.median(ratios) <= BAR else 1


def _yard(path: Path) -> tuple[Image, Image]:
    """Write the clip; returns the yard by day and its night background."""
    ground = clip_median(bundled_clips() / "day_tfl_09731_a1_barnet.mp4")
    rows = ground.shape[1] * HEIGHT // WIDTH
    day = cv2.resize(ground[-rows:], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    conditions = replace(FIXED_NIGHTS["test"], headlights=0.0, streak=0.0, exposure=EXPOSURE)
    simulate = NightSimulator(conditions, (HEIGHT, WIDTH), np.random.default_rng(0))
    nights = [simulate(day) for _ in range(FRAMES)]
    clip(path, nights, height=HEIGHT, width=WIDTH, rate=RATE, bit_rate=BIT_RATE)
    usual = np.median(np.stack(nights[:LEARNT]), axis=0).round().astype(np.uint8)
    return np.asarray(day, np.uint8), usual


def _run(
    path: Path | None, clip_path: Path, backgrounds: tuple[Image, Image], work: Path, seconds: float
) -> dict[str, float]:
    """Processors that a build takes, and pictures a second that it translates and drops."""
    port = lasting_port()
    environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache"), "XDG_STATE_HOME": str(work / "state")}
    camera: dict[str, Any] = {
        "name": "yard",
        "url": str(clip_path),
        "loop": True,
        "pace": "realtime",
        "translate": "always",
    }
    if path is None:
        module = "nightday.pipeline.cli"
        day, night = backgrounds
        camera |= {
            "learn": False,
            "background": {"save": remember(work, "yard", str(clip_path), day=day, night=night)},
        }
    else:
        module = "pipeline.cli"
        environment["PYTHONPATH"] = str(path)
        camera["model"] = str(path / "weights" / "general.pt")
    with RtspServer(record=work) as server:
        camera["outputs"] = [str(work / "%Y%m%d-%H%M%S.mp4"), server.url("/day")]
        config = {"cameras": [camera], "http": {"host": "127.0.0.1", "port": port}}
        (work / "cameras.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", module, "--cameras", "cameras.yaml"]
        with (work / "log").open("wb") as log:
            program = subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_alone(program, port, work / "log")
            before, began = _spent(program.pid, port), time.monotonic()
            time.sleep(seconds)
            after, took = _spent(program.pid, port), time.monotonic() - began
        finally:
            program.terminate()
            program.wait(30)
    spent, translated, dropped = (now - then for then, now in zip(before, after, strict=True))
    return {
        "processors": round(spent / took, 3),
        "translated_fps": round(translated / took, 2),
        "dropped_fps": round(dropped / took, 2),
    }


def _wait_until_alone(program: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the engine is there and nothing is built or measured beside the camera any more."""
    settled, end = 0, time.monotonic() + 400
    while settled < 25:
        time.sleep(1.0)
        if program.poll() is not None or time.monotonic() > end:
            raise SystemExit(log.read_text())
        try:
            translated = _camera(port)["translated"]
        except OSError:
            translated = 0
        settled = settled + 1 if translated and not psutil.Process(program.pid).children() else 0


def _spent(pid: int, port: int) -> tuple[float, float, float]:
    """Seconds of processor time, and pictures translated and dropped, since the start."""
    times, camera = psutil.Process(pid).cpu_times(), _camera(port)
    return times.user + times.system, camera["translated"], sum(camera["dropped"].values())


def _camera(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/cameras", timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
    (camera,) = told["cameras"]
    return dict(camera)


if __name__ == "__main__":
    raise SystemExit(main())
