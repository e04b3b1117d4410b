"""Builds engines in a process of their own, which gives way to the cameras, before this process loads them.

Compiling and qualifying in this process costs the cameras frames: OpenVINO's conversion of a model holds the
interpreter's lock, which the loop needs for every batch, and all want the same cores. On two cores shared with much
else, a camera at 5 fps lost 56 of 125 frames to it, and none of 500 while a process of its own did the same; loading
from the cache of ``nightday-engine build`` what that made took 0.7 s more.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from nightday.engines import child_process
from nightday.engines.choices import MIN_SIDE

from ..config.schema import EngineConfig
from ..core.camera_url import redact

log = logging.getLogger(__name__)

BUILD_WITHIN = 1800.0  # seconds; TensorRT's take minutes a size

# Niced from inside, as a function between fork and exec is not safe beside threads. Its standard input ends with
# this process, however that ends, and so does it.
_CHILD = """
import os, sys, threading
os.nice(10)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
from nightday.engines.cli import main
sys.exit(main(sys.argv[1:]))
"""


def prebuild_engine(model: Path, sizes: Collection[tuple[int, int]], settings: EngineConfig) -> bool:
    """Have the engine of a checkpoint in the cache; whether that was done.

    Takes seconds or minutes, at a lower priority than this process. It does not raise: loading tells what is wrong.

    Args:
        model: the checkpoint.
        sizes: (height, width) of the frames to come.
        settings: what is asked of engines.
    """
    good = sorted(size for size in sizes if min(size) >= MIN_SIDE)
    if not good or settings.backend == "eager":  # which compiles nothing
        return False
    words = [f"--model={model}", f"--backend={settings.backend}", f"--precision={settings.precision}"]
    words += [f"--max-batch={settings.max_batch}", *(f"--size={height}x{width}" for height, width in good)]
    began = time.monotonic()
    try:
        fault = _run(words)
    except (OSError, subprocess.TimeoutExpired) as error:
        fault = str(error)
    if fault:
        text = (
            f"{model.name} is built beside the cameras, since it cannot be in a process of its own: {fault}"
        )
        log.warning("%s", redact(text), extra={"event": "engine_built"})
        return False
    log.info("%s built in %.1f s", model.name, time.monotonic() - began, extra={"event": "engine_built"})
    return True


def _run(words: Sequence[str]) -> str:
    """Run the command; the last thing it said if it failed, else ""."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, "build", *words],
            env=child_process.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
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
