"""What batches of each size took each engine lately."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Collection
from statistics import median
from weakref import WeakKeyDictionary

from nightday.engines.backends.base import Engine
from nightday.engines.device_copies import Pixels

# Batches of a size whose median is its usual time.
RECENT = 15
# Batches of a size until their median means something.
FEWEST = 5
# Seconds of batches that say as much as any number of short ones.
LONG = 2.0
# Sizes of which an engine's times are kept.
SIZES = 64

BatchSize = tuple[int, int, int]
"""Frames, height, width."""


class BatchTimes:
    """Keeps the times of every engine that is alive. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: WeakKeyDictionary[Engine, OrderedDict[BatchSize, deque[float]]] = WeakKeyDictionary()

    def add(self, engine: Engine, size: BatchSize, seconds: float) -> None:
        """``engine`` took ``seconds`` for a batch of ``size``."""
        with self._lock:
            times = self._times.setdefault(engine, OrderedDict())
            times.setdefault(size, deque(maxlen=RECENT)).append(seconds)
            times.move_to_end(size)
            if len(times) > SIZES:
                times.popitem(last=False)

    def usual(self, engine: Engine) -> dict[BatchSize, float]:
        """The median of ``engine``'s last times, in seconds, for each size it has run often enough."""
        with self._lock:
            known = self._times.get(engine) or OrderedDict()
            return {size: median(times) for size, times in known.items() if enough(times, FEWEST)}


def size_of(frames: Pixels) -> BatchSize:
    """Frames, height and width of a batch (N, H, W, 3)."""
    count, height, width = frames.shape[:3]
    return count, height, width


def enough(times: Collection[float], count: int) -> bool:
    """Whether ``times`` mean something: there are ``count`` of them, or three that took long together."""
    return len(times) >= count or (len(times) >= 3 and sum(times) >= LONG)
