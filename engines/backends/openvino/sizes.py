"""All that one picture size was compiled to, for any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model.generator import NightToDay
from ..base import Frames
from ..compiled_sizes import Size
from . import build
from .build import ALL_CORES, ONE_CORE, Cores
from .graph import Graph
from .light_requests import LightBackgrounds, LightRequests
from .requests import BackgroundRequest, Known, Requests, Runs

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SizeRequests:
    """What a picture size was compiled to; any number of threads may use it.

    Attributes:
        all_cores: runs a frame on all cores.
        all_cores_lock: held while it does.
        one_core: those that are free of the requests that run a frame on one core each, side by side. None where
            there is one core, or too many.
        backgrounds: makes what is known of backgrounds; None for models without.
        backgrounds_lock: held while it does.
        size: (height, width) at which frames are translated.
    """

    all_cores: Runs
    all_cores_lock: threading.Lock
    one_core: SimpleQueue[Runs] | None
    backgrounds: Callable[[Pixels, Pixels], Known] | None
    backgrounds_lock: threading.Lock
    size: Size

    def run_on_all_cores(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> float:
        """``Runs.run`` on all cores."""
        with self.all_cores_lock:
            return self.all_cores.run(frame, known, day, trust)

    def run_on_one_core(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> float:
        """``Runs.run`` on one core, as soon as one is free."""
        assert self.one_core is not None
        requests = self.one_core.get()
        try:
            return requests.run(frame, known, day, trust)
        finally:
            self.one_core.put(requests)

    def known(self, by_day: Pixels, by_night: Pixels) -> Known:
        """What comes of a pair of backgrounds, uint8 (H, W, 3) each."""
        assert self.backgrounds is not None
        with self.backgrounds_lock:
            return self.backgrounds(by_day, by_night)


def load_size(
    model: NightToDay,
    graphs: Sequence[Graph],
    size: Size,
    inner: Size,
    folder: Path,
    *,
    precision: str,
    at_once: int,
    reuse: bool,
) -> SizeRequests:
    """Load what ``build`` wrote for ``graphs`` to ``folder``; ``at_once`` requests of one core each, if not 1.

    ``inner`` is the size at which frames of ``size`` are translated. ``reuse``: see ``OpenVinoEngine``.
    """
    framed = [graph for graph in graphs if graph.name != "known"]
    native = any(graph.native for graph in graphs)

    def requests(cores: Cores) -> dict[str, Any]:
        return {
            graph.name: build.load(graph, folder, cores, precision) for graph in framed if not graph.native
        }

    def native_runs(cores: Cores) -> LightRequests:
        return LightRequests(model, requests(cores), size, reuse=reuse)

    def runs(cores: Cores) -> Runs:
        return native_runs(cores) if native else Requests.connected(framed, requests(cores))

    all_cores = runs(ALL_CORES)
    others = [runs(ONE_CORE) for _ in range(at_once)] if at_once > 1 else []
    backgrounds: Callable[[Pixels, Pixels], Known] | None = None
    known: Known = {}
    for graph in graphs:
        if graph.name == "known":
            request = BackgroundRequest(build.load(graph, folder, ALL_CORES, precision), graph.gives)
            backgrounds = LightBackgrounds(request, native_runs(ALL_CORES)).known if native else request.known
            known = backgrounds(*np.zeros((2, *size, 3), np.uint8))
    first = np.full((1, *size, 3), 255, np.uint8)
    trust = None if backgrounds is None else np.zeros((1, *inner, 3), np.uint8)
    for each in (all_cores, *others):  # the first run is slower than the others
        each.run(first, known, first.copy(), trust)
    one_core: SimpleQueue[Runs] | None = SimpleQueue() if others else None
    for each in others:
        assert one_core is not None
        one_core.put(each)
    return SizeRequests(all_cores, threading.Lock(), one_core, backgrounds, threading.Lock(), inner)
