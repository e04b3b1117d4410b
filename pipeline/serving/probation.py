"""An engine on probation: the one before it steps in where it fails, and comes back if it is worse."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import overload

import torch
from torch import Tensor

from nightday.engines.backends.backgrounds import Background
from nightday.engines.backends.base import Engine, EngineInfo, Frames, Translation
from nightday.engines.device_copies import Pixels

from ..core.clock import Clock
from ..translation.batch_times import FEWEST, RECENT, BatchSize, enough, size_of
from ..translation.engine_call import Beside, Made, call_engine
from ..translation.own_backgrounds import needs_backgrounds

# What goes wrong with an engine in service shows at once or within seconds: batches of other sizes than those it was
# prepared with, memory that runs out beside everything else, a GPU whose clock falls. 200 batches are 8 s of one
# camera at 25 fps, and enough to judge each of eight sizes; 30 s are for cameras that are many and fast.
PROBATION_BATCHES = 200
PROBATION_SECONDS = 30.0
# Batches that may fail but one. One or two failures may be the machine's, whose memory holds two engines meanwhile.
MOST_FAILURES = 3
# Times what the engine before takes. Below that, the frame rate of a camera rarely suffers.
SLOWER = 1.5
# Seconds slower, at the least: times of the fastest engines differ by half from batch to batch.
SLACK = 0.005
# Batches run by both engines. That all but one are slower happens by chance once in 300 times.
PAIRS = 12


@dataclass(frozen=True, slots=True)
class ProbationResult:
    """How a probation ended.

    Attributes:
        kept: whether the new engine stays.
        reason: why not; "" if it stays.
        figures: what was measured, for the log.
    """

    kept: bool
    reason: str
    figures: str


class _Comparison:
    """Whether an engine is slower than the one before it, by their times for batches of each size. Used under a lock.

    Args:
        usual: seconds the one before takes for batches of each size.
        doubts: whether any size may come into doubt.
    """

    def __init__(self, usual: Mapping[BatchSize, float], *, doubts: bool) -> None:
        self._usual = dict(usual)
        self._doubts = doubts
        self._times: dict[BatchSize, deque[float]] = {}
        self._pairs: dict[BatchSize, list[tuple[float, float]]] = {}  # of sizes in doubt: seconds of both

    def doubtful(self, size: BatchSize) -> bool:
        """Whether batches of this size are to be run by both."""
        return size in self._pairs

    def add(self, size: BatchSize, took: float) -> None:
        """The new one took so long for a batch of a size that is not in doubt, which it may be from now on."""
        times = self._times.setdefault(size, deque(maxlen=RECENT))
        times.append(took)
        usual = self._usual.get(size)
        if self._doubts and enough(times, FEWEST) and (usual is None or _slower(median(times), usual)):
            self._pairs[size] = []

    def add_pair(self, size: BatchSize, new: float, old: float) -> float | None:
        """Both have run a batch; how many times slower the new one is if that is certain now, else None."""
        if (pairs := self._pairs.get(size)) is None:  # another thread had the last of them
            return None
        pairs.append((new, old))
        if not enough([mine for mine, _ in pairs], PAIRS):
            return None
        new, old = (median(times) for times in zip(*pairs, strict=True))
        faster = sum(mine <= theirs for mine, theirs in pairs)
        self._usual[size], self._times[size] = old, deque([new], maxlen=RECENT)
        del self._pairs[size]
        return new / max(old, 1e-6) if faster <= len(pairs) // PAIRS and _slower(new, old) else None

    def figures(self) -> str:
        """What the size took that was run most often, to be read after a comma; "" before the first."""
        if not self._times:
            return ""
        size = max(self._times, key=lambda size: len(self._times[size]))
        frames, height, width = size
        text = f", {median(self._times[size]) * 1e3:.1f} ms for {frames} of {width}x{height}"
        return text + (f" (before {self._usual[size] * 1e3:.1f} ms)" if size in self._usual else "")


class Probation:
    """Serves with ``engine``, and with ``before`` whenever that fails where ``before`` does not.

    It ends with a ``result``, from which on it passes frames to the one of the two that has won:

    - ``MOST_FAILURES`` batches on which the new one raised, or gave something else than pictures, while the one
      before made them: rolled back. What both raise on is the frames' own fault. No frame is lost either way.
    - Batches of one size whose median is more than ``SLOWER`` times the one before's: the machine may have become
      busier since, so the next ``PAIRS`` of that size are run by both, one after the other. If the new one was slower
      in all but one, and its median by that much: rolled back. The same where nothing is known of the one before.
      With ``may_be_slower`` nothing is measured: whoever asked for that engine wants another picture or load.
    - Otherwise, after ``PROBATION_BATCHES`` and ``PROBATION_SECONDS`` from the first of them: kept. By day, with
      nothing to translate, neither begins.

    Any thread may call it; as many at once as the engines themselves can take.

    Args:
        engine: the new one.
        before: the one that has proved itself.
        usual: seconds ``before`` takes for batches of each size; see ``BatchTimes``.
        clock: time.
        on_end: called once, in a thread that runs batches.
        model: the file both were made of; None if that is another one.
        may_be_slower: whether the new one stays however long it takes.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        before: Engine,
        usual: Mapping[BatchSize, float],
        clock: Clock,
        on_end: Callable[[], None] = lambda: None,
        model: Path | None = None,
        may_be_slower: bool = False,
    ) -> None:
        self.engine, self.before, self.model = engine, before, model
        self.result: ProbationResult | None = None
        """How it ended; None as long as it goes on."""
        self._clock = clock
        self._on_end = on_end
        self._lock = threading.Lock()  # over what follows; never held while an engine runs
        self._began: float | None = None
        self._batches = self._failures = 0
        self._comparison = _Comparison(usual, doubts=not may_be_slower)

    @property
    def serving(self) -> Engine:
        """The engine that is asked first."""
        return self.engine if self.result is None or self.result.kept else self.before

    @property
    def info(self) -> EngineInfo:
        """What is known of the engine that serves."""
        return self.serving.info

    @property
    def at_once(self) -> int | None:
        """See ``Engine``; of the one that serves."""
        return self.serving.at_once

    @property
    def device(self) -> torch.device | None:
        """See ``Engine``; of the one that serves."""
        return self.serving.device

    @property
    def needs_backgrounds(self) -> bool:
        """Whether the one that serves takes a camera's backgrounds beside the frames."""
        return needs_backgrounds(self.serving)

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``; of the one that serves."""
        return self.serving.prepared(height, width)

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``; of both, since both may be asked."""
        for engine in (self.engine, self.before):
            if not engine.prepared(height, width):
                engine.prepare(height, width)

    @overload
    def __call__(
        self,
        frames: Frames,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Frames: ...
    @overload
    def __call__(
        self,
        frames: Tensor,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        frames: Pixels,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Pixels:
        """See ``translate``."""
        made: Made = self.translate(frames, day_background, night_background)
        return made.day

    @overload
    def translate(
        self,
        frames: Frames,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Translation[Frames]: ...
    @overload
    def translate(
        self,
        frames: Tensor,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Translation[Tensor]: ...
    def translate(
        self,
        frames: Pixels,
        day_background: Background | None = None,
        night_background: Background | None = None,
    ) -> Made:
        """See ``Engine``. Raises what the new engine raised where the one before cannot help."""
        beside = None
        if day_background is not None and night_background is not None:
            beside = day_background, night_background
        if self.result is not None:
            return call_engine(self.serving, frames, beside)
        began = self._clock.monotonic()
        with self._lock:
            self._began = began if self._began is None else self._began
        try:
            result = call_engine(self.engine, frames, beside)
        except Exception as error:
            result = self._rescued(frames, beside, error)
        else:
            self._ran(frames, beside, self._clock.monotonic() - began)
        with self._lock:
            self._batches += 1
            seconds = self._clock.monotonic() - self._began
            if self._batches >= PROBATION_BATCHES and seconds >= PROBATION_SECONDS:
                self._end(kept=True)
        return result

    def _rescued(self, frames: Pixels, beside: Beside, error: Exception) -> Made:
        """What the one before makes of frames the new one failed on; it is not compiled for that in mid-stream."""
        if not self.before.prepared(*frames.shape[1:3]):
            raise error
        try:
            result = call_engine(self.before, frames, beside)
        except Exception:
            raise error from None
        with self._lock:
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self._end(kept=False, reason=f"it failed on batches that the one before translates ({what})")
        return result

    def _ran(self, frames: Pixels, beside: Beside, took: float) -> None:
        size = size_of(frames)
        with self._lock:
            doubtful = self._comparison.doubtful(size)
            if not doubtful:
                self._comparison.add(size, took)
        if doubtful:
            self._pair(frames, beside, took)

    def _pair(self, frames: Pixels, beside: Beside, took: float) -> None:
        """Have the one before run a batch of a size in doubt, too, and compare once that was done often enough."""
        size = size_of(frames)
        if not self.before.prepared(*size[1:]):
            return
        began = self._clock.monotonic()
        try:
            call_engine(self.before, frames, beside)
        except Exception:  # the new one has made these pictures
            return
        with self._lock:
            slower = self._comparison.add_pair(size, took, self._clock.monotonic() - began)
            if slower is not None:
                self._end(kept=False, reason=f"it is slower than the one before by {slower:.1f} times")

    def _end(self, *, kept: bool, reason: str = "") -> None:
        """End it, unless another thread has; under the lock."""
        if self.result is not None:
            return
        seconds = self._clock.monotonic() - (self._began or 0.0)
        figures = f"{max(self._batches, 1)} batches in {seconds:.0f} s, {self._failures} failed"
        figures += self._comparison.figures()
        self.result = ProbationResult(kept, reason, figures)
        self._on_end()


def _slower(new: float, old: float) -> bool:
    return new > max(SLOWER * old, old + SLACK)
