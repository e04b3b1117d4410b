"""Builds engines in a process of their own before this process loads them.

Compiling in this process would cost the cameras frames: OpenVINO's conversion of a model holds the interpreter's
lock, which the workers need for every batch.

At a reload that process gives way to the cameras, which are translated meanwhile. At a start it does not: beside
large pictures, which are brightened until it has ended, it would have next to no time, and they would stay so for
long.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from nightday.engines import child_process
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.choices import MIN_SIDE
from nightday.engines.selection.load import REFERENCE, CandidateEngines, candidates

from ..config.schema import EngineConfig
from ..core.camera_url import redact
from ..core.event_log import to_log
from ..core.events import Notice

# By how much the priority of a process that gives way is lower.
GIVES_WAY = 10

# Seconds. TensorRT takes minutes for each picture size.
BUILD_WITHIN = 1800.0

# It lowers its own priority, since running a function between fork and exec is not safe beside threads. Its standard
# input ends with this process, however that ends, and then it ends, too.
_CHILD = """
import os, sys, threading
os.nice(int(sys.argv.pop(1)))
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
from nightday.engines.cli import main
sys.exit(main(sys.argv[1:]))
"""


def is_measured(model: Path, settings: EngineConfig) -> bool:
    """Whether loading the engine of a checkpoint measures nothing, since that is in the cache or has no choice.

    Raises CheckpointError or EngineError where no engine is to be had.
    """
    found = candidates(settings.backend, settings.precision)
    if found == [REFERENCE]:
        return True
    engines = CandidateEngines(model, max_batch=settings.max_batch, reuse=settings.reuse == "auto")
    kept = {entry.key for entry in EngineCache().entries()}
    return all(engines.key(candidate) in kept for candidate in found)


def prebuild_engine(
    model: Path, sizes: Collection[tuple[int, int]], settings: EngineConfig, *, gives_way: bool
) -> bool:
    """Have the engine of a checkpoint in the cache; whether that was done.

    Takes seconds or minutes. It does not raise: loading tells what is wrong.

    Args:
        model: the checkpoint.
        sizes: (height, width) of the frames to come.
        settings: what is asked of engines.
        gives_way: whether it is done at a lower priority than this process.
    """
    good = sorted(size for size in sizes if min(size) >= MIN_SIDE)
    if not good or settings.backend == "eager":  # which compiles nothing
        return False
    words = [f"--model={model}", f"--backend={settings.backend}", f"--precision={settings.precision}"]
    words += [f"--max-batch={settings.max_batch}", f"--reuse={settings.reuse}"]
    words += [f"--size={height}x{width}" for height, width in good]
    began = time.monotonic()
    try:
        fault = _run(words, GIVES_WAY if gives_way else 0)
    except subprocess.TimeoutExpired:
        fault = f"timed out after {BUILD_WITHIN:g} seconds"
    except OSError as error:
        fault = str(error)
    if fault:
        text = f"{model.name} is built beside the cameras, since a process of its own failed: {fault}"
        to_log(Notice(name="engine_built", detail=redact(text), level="warning"))
        return False
    seconds = time.monotonic() - began
    to_log(Notice(name="engine_built", detail=f"{model.name} built in {seconds:.1f} s"))
    return True


def _run(words: Sequence[str], nice: int) -> str:
    """Run the command at a priority lower by ``nice``; the last thing it said if it failed, else ""."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, f"{nice}", "build", *words],
            env=child_process.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        with child:
            try:
                status = child.wait(BUILD_WITHIN)
            except BaseException:
                child.kill()
                raise
        if not status:
            return ""
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"status {status}")
