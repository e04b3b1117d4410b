"""The memory of one idle camera, of this build and of an earlier one, in one run.

    git worktree add ../earlier 47a2f3a
    python -m benchmarks.idle_memory --earlier ../earlier --json benchmarks/results/idle_memory.json

The camera plays a bright day at its own pace, so nothing is translated; one MP4 file is recorded. Each build is
started anew in an empty folder, with an empty cache first and then with what that start has left there, and the
resident memory of its process and of its children is read once a second, until no engine has been under way for 20
seconds. What counts is the median of those.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from nightday.engines.cache import machine
from nightday.engines.cores import processors

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
BAR = 0.6
LAST_S = 20
# The engine is loaded by then.
LEAST_S = 60


def main(argv: list[str] | None = None) -> int:
    """Measure and print; exit 1 if the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle_memory")
    parser.add_argument("--earlier", type=Path, required=True, help="a checkout of the earlier build")
    parser.add_argument("--seconds", type=float, default=300.0, help="at most, for each start")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args(argv)
    now = [sys.executable, "-m", "nightday.pipeline.cli"]
    earlier = [sys.executable, "-m", "pipeline.cli"]
    model = {"model": str(args.earlier.resolve() / "weights" / "general.pt")}
    builds = {"earlier": (earlier, args.earlier.resolve(), model), "now": (now, None, {})}
    figures: dict[str, object] = {
        "command": "python -m benchmarks.idle_memory",
        "date": datetime.date.today().isoformat(),
        "hardware": f"{machine.cpu()}; {processors()} processors",
        "python": platform.python_version(),
        "clip": args.clip.name,
    }
    resident: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for start in ("first", "second"):
            for name, (command, path, settings) in builds.items():
                work = Path(folder) / name
                work.mkdir(exist_ok=True)
                measured = memory_mb(command, path, settings, args.clip.resolve(), work, args.seconds)
                print(f"{name}, {start} start: {measured:.0f} MB", file=sys.stderr)
                resident.setdefault(name, []).append(round(measured, 1))
    figures["resident_mb, first and second start"] = resident
    ratios = [
        round(mine / theirs, 3) for mine, theirs in zip(resident["now"], resident["earlier"], strict=True)
    ]
    figures["now / earlier"] = ratios
    figures["bar"] = BAR
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 0 if max(ratios) <= BAR else 1


def memory_mb(
    command: list[str], path: Path | None, settings: dict[str, str], clip: Path, work: Path, seconds: float
) -> float:
    """Megabytes resident in the program's processes, at the end of ``seconds``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    camera = {"name": "gate", "url": str(clip), "loop": True, "pace": "realtime", **settings}
    camera["outputs"] = [str(work / "%Y%m%d-%H%M%S.mp4")]
    config = {"cameras": [camera], "http": {"host": "127.0.0.1", "port": port}}
    (work / "cameras.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache"), "XDG_STATE_HOME": str(work / "state")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--cameras", "cameras.yaml"], cwd=work, env=environment, stdout=log, stderr=log
        )
    try:
        seen: list[tuple[float, int]] = []
        end = time.monotonic() + seconds
        while len(seen) < LEAST_S or any(children for _, children in seen[-LAST_S:]):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit((work / "log").read_text())
            seen.append(resident(process.pid))
            time.sleep(1.0)
        return statistics.median(size for size, _ in seen[-LAST_S:])
    finally:
        process.terminate()
        process.wait(30)


def resident(pid: int) -> tuple[float, int]:
    """Megabytes that a process and its children keep resident, and how many children there are."""
    program = psutil.Process(pid)
    children = program.children(recursive=True)
    total = program.memory_info().rss
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return total / 1e6, len(children)


if __name__ == "__main__":
    raise SystemExit(main())
