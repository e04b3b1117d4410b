"""``python -m benchmarks.gpu``: every figure that needs a GPU, in one run of a few minutes.

    python -m benchmarks.gpu            # on a machine with an NVIDIA GPU
    python -m benchmarks.gpu --smoke    # every part at toy size on the CPU, to see that it runs

It needs torch and NumPy; PyAV and OpenCV for decoding and for the training step. With torch-tensorrt or
torch-tensorrt-rtx it measures TensorRT. Without them it measures torch.compile with CUDA graphs and eager PyTorch,
which TensorRT must beat, and says so. It ends within ``--minutes``. The JSON file is complete after each part; a
figure that was not measured says "not measured" and why.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.budget import Budget, Report, not_measured
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.gpu.runners import Machine
from nightday.engines.cache.machine import cpu, gpu

RESULT = Path(__file__).parent.parent / "results" / "gpu.json"
PACKAGES = (
    "torch-tensorrt",
    "torch-tensorrt-rtx",
    "tensorrt",
    "tensorrt-cu13",
    "tensorrt-rtx-cu13",
    "triton",
    "av",
)
RESERVE = 15  # seconds kept of --minutes for what a part cannot interrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, print. 0 if every part ran, 1 if one failed, 2 without a GPU, 3 if the time ended a part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--minutes", type=float, default=8.0, help="the run ends within them")
    parser.add_argument("--smoke", action="store_true", help="toy sizes, on the CPU")
    parser.add_argument("--json", type=Path, help=f"default {RESULT}, with --smoke none")
    parser.add_argument("--only", choices=[part.name for part in PARTS], nargs="+", help="these parts")
    args = parser.parse_args(argv)
    if not args.smoke and not torch.cuda.is_available():
        print("no NVIDIA GPU here; --smoke runs every part at toy size on the CPU", file=sys.stderr)
        return 2
    if args.smoke and args.json is None:
        args.json = Path(os.devnull)
    machine = Machine(torch.device("cpu" if args.smoke else "cuda"), smoke=args.smoke)
    parts = [part for part in PARTS if not args.only or part.name in args.only]
    path = args.json or RESULT
    return run_parts(parts, machine, path, seconds=args.minutes * 60)


def run_parts(parts: Sequence[Part], machine: Machine, path: Path, *, seconds: float) -> int:
    """Run parts in turn, each within its share of the time, and keep the report up to date."""
    budget = Budget(max(1.0, seconds - RESERVE))
    report = Report(path, head(machine), tuple(part.name for part in parts))
    # A builder of engines cannot be interrupted: then the process ends, and the report is on disk.
    watchdog = threading.Timer(seconds - 2, _out_of_time, (path,))
    watchdog.daemon = True
    watchdog.start()
    failed = False
    began = time.monotonic()
    try:
        for part in parts:
            try:
                report.content[part.name] = part.measure(machine, budget.part(part.seconds))
            except Exception as error:
                failed = True
                report.content[part.name] = not_measured(error)
            report.content["seconds"] = time.monotonic() - began
            report.write()
            print(f"{part.name}: {report.content[part.name]}", flush=True)
    finally:
        watchdog.cancel()
    return 1 if failed else 0


def _out_of_time(path: Path) -> None:
    print(f"out of time in the middle of a part; {path} has the parts before it", file=sys.stderr, flush=True)
    os._exit(3)


def head(machine: Machine) -> dict[str, Any]:
    """What ran it."""
    on_gpu = machine.device.type == "cuda"
    device, driver = gpu() if on_gpu else (cpu(), "")
    return {
        "date": str(date.today()),
        "smoke": machine.smoke,
        "hardware": device,
        "driver": driver,
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if on_gpu else None,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            **{name: found for name in PACKAGES if (found := _version(name))},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    raise SystemExit(main())
