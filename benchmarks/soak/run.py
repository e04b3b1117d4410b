"""A run of the pipeline on the smallest generator, as every case needs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nightday.engines import Engine, load_engine
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import Runtime
from tests.faults.damaged_clips import clip

# Width and height of the cameras' pictures.
SIZE = (96, 64)
# Seconds between looks at a run.
LOOK = 0.02
# Seconds until a wait is given up.
LOST = 60.0

Figures = dict[str, Any]


class Run:
    """A run that other threads can look at."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._seen: dict[str, CameraStatus] = {}

    def look(self, name: str) -> CameraStatus:
        """The camera's state, at most 10 ms old."""
        with self._lock:
            if time.monotonic() - self._looked_at > LOOK / 2:
                self._seen = {status.name: status for status in self._runtime.cameras()}
                self._looked_at = time.monotonic()
            return self._seen[name]

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds``. Raises TimeoutError after ``LOST`` seconds."""
        deadline = time.monotonic() + LOST
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{ {status.name: (status.state, status.reason) for status in self._runtime.cameras()} }"
                )
            time.sleep(LOOK)

    def rates(self, names: Sequence[str], seconds: float) -> dict[str, float]:
        """Translated pictures a second of each camera, over ``seconds``."""
        before = {name: self.look(name).stats.translated for name in names}
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        return {name: (self.look(name).stats.translated - before[name]) / passed for name in names}


@contextmanager
def running(
    urls: dict[str, str],
    work: Path,
    *,
    engine: Callable[[Engine], Engine] = lambda engine: engine,
    outputs: bool = False,
    **camera: Any,
) -> Iterator[Run]:
    """Run the cameras on the smallest generator and translate every frame. At the end the run must stop cleanly."""
    model = work / "tiny.pt"
    torch.manual_seed(0)
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    loaded: Engine = load_engine(model)
    loaded.prepare(SIZE[1], SIZE[0])
    cameras = [
        {
            "name": name,
            "url": url,
            "model": str(model),
            "translate": "always",
            "outputs": [str(work / "out" / name / "%Y%m%d-%H%M%S.mp4")] if outputs else [],
            "background": {"save": str(work / "out" / f"{name}.png"), "frames": 5},
            **camera,
        }
        for name, url in urls.items()
    ]
    config = Config.model_validate({"cameras": cameras})
    commands, outcomes = CommandQueue(), list[Outcome]()
    runtime = Runtime(Setup(config, {model: engine(loaded)}), commands=commands)
    thread = threading.Thread(
        target=lambda: outcomes.append(runtime.run(duration=None, report=None, report_every=1.0))
    )
    thread.start()
    try:
        yield Run(runtime)
    finally:
        commands.put("stop")
        thread.join(LOST)
    if not outcomes or not outcomes[0].clean or outcomes[0].problems:
        raise SystemExit(f"the run did not end well: {outcomes[0].problems if outcomes else 'it hangs'}")


def playing(status: CameraStatus) -> bool:
    """Whether the camera is connected and has shown a translated picture."""
    return status.stats.up and status.pictures > 0


def clip_of(work: Path, *, rate: int = 25) -> Path:
    """A clip of two seconds with something that moves, written into ``work``."""
    return clip(work / f"{rate}.mp4", size=SIZE, rate=rate, frames=2 * rate, moving=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile, rounded to three digits."""
    return round(float(np.percentile(values, percent)), 3)
