"""An engine on probation: the one before it steps in where it fails, and comes back if it is worse."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from weakref import WeakKeyDictionary

import torch

from nightday.engines.device_copies import Pixels

from ..core.clock import Clock
from ..translation.engine_call import Translate, call, device_of, run
from ..translation.warm_up import is_prepared

# What goes wrong with an engine in service shows at once or within seconds: batches of other sizes than those it was
# prepared with, memory that runs over beside everything else, a GPU's clock that falls. 200 batches are 8 s of one
# camera at 25 fps, and enough for each of eight sizes to be judged; 30 s are for cameras that are many and fast.
PROBATION_BATCHES = 200
PROBATION_SECONDS = 30.0
MOST_FAILURES = 3  # batches; one or two may be the machine's, whose memory holds two engines meanwhile
SLOWER = 1.5  # times what the one before takes; below that, the rate of a camera in time rarely suffers
SLACK = 0.005  # seconds slower at least: of the fastest engines 1.5 times is within what batches differ by
RECENT = 15  # batches of a size that its usual time is the median of
SUSPECT_AFTER = 5  # batches of a size until its median means something
PAIRS = 12  # batches run by both; all but one slower happens by chance once in 300
LONG = 2.0  # seconds of batches that say as much as any number of short ones
SHAPES = 64  # sizes an engine's times are kept of

Shape = tuple[int, int, int]
"""Of a batch: frames, height, width."""


class BatchTimes:
    """What batches of each size took each engine lately."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: WeakKeyDictionary[Translate, OrderedDict[Shape, deque[float]]] = WeakKeyDictionary()

    def run(self, engine: Translate, frames: Pixels) -> Pixels:
        """``engine`` on a batch, wherever that lies; its time is kept unless it raises."""
        began = self._clock.monotonic()
        result = run(engine, frames)
        took = self._clock.monotonic() - began
        with self._lock:
            times = self._times.setdefault(engine, OrderedDict())
            times.setdefault(_shape(frames), deque(maxlen=RECENT)).append(took)
            times.move_to_end(_shape(frames))
            if len(times) > SHAPES:
                times.popitem(last=False)
        return result

    def usual(self, engine: Translate) -> dict[Shape, float]:
        """The median of ``engine``'s last times, in seconds, for each size it has run often enough."""
        with self._lock:
            known = self._times.get(engine) or OrderedDict()
            return {shape: median(times) for shape, times in known.items() if _enough(times, SUSPECT_AFTER)}


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


class Probation:
    """Serves with ``engine``, and with ``before`` whenever that fails where ``before`` does not.

    It ends with a ``verdict``, from which on it passes frames to the one of the two that has won:

    - ``MOST_FAILURES`` batches on which the new one raised, or gave something else than pictures, while the one
      before made them: rolled back. What both raise on is the frames' own fault. No frame is lost either way.
    - Batches of one size whose median is more than ``SLOWER`` times the one before's: the machine may have become
      busier since, so the next ``PAIRS`` of that size are run by both, one after the other. If the new one was slower
      in all but one, and by that much in the middle: rolled back. The same where nothing is known of the one before.
    - Otherwise, after ``PROBATION_BATCHES`` and ``PROBATION_SECONDS`` from the first of them: kept. By day, with
      nothing to translate, neither begins.

    Any thread may call it; as many at once as the engines themselves can take.

    Args:
        engine: the new one.
        before: the one that has proved itself.
        usual: seconds ``before`` takes for batches of each size; see ``BatchTimes``.
        clock: time.
        on_verdict: called once, in a thread that runs batches.
        model: the file both were made of; None if that is another one.
    """

    def __init__(
        self,
        engine: Translate,
        *,
        before: Translate,
        usual: Mapping[Shape, float],
        clock: Clock,
        on_verdict: Callable[[], None] = lambda: None,
        model: Path | None = None,
    ) -> None:
        self.engine, self.before, self.model = engine, before, model
        self.verdict: ProbationResult | None = None
        """How it ended; None as long as it goes on."""
        self._usual = dict(usual)
        self._clock = clock
        self._on_verdict = on_verdict
        self._lock = threading.Lock()  # over what follows; never held while an engine runs
        self._began: float | None = None
        self._batches = self._failures = 0
        self._times: dict[Shape, deque[float]] = {}
        self._pairs: dict[Shape, list[tuple[float, float]]] = {}  # of sizes in doubt: seconds of both

    @property
    def serving(self) -> Translate:
        """The engine that is asked first."""
        return self.engine if self.verdict is None or self.verdict.kept else self.before

    @property
    def info(self) -> Any:
        """What is known of the engine that serves; None if nothing is."""
        return getattr(self.serving, "info", None)

    @property
    def at_once(self) -> int | None:
        """How many frames the engine that serves works on at the same time, if it says."""
        return getattr(self.serving, "at_once", None)

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``; of the one that serves."""
        return is_prepared(self.serving, height, width)

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``; of both, since both may be asked."""
        for engine in (self.engine, self.before):
            if not is_prepared(engine, height, width):
                engine.prepare(height, width)  # type: ignore[attr-defined]

    def __call__(self, frames: Pixels) -> Pixels:
        """See ``Engine``. Raises what the new engine raised where the one before cannot help."""
        if self.verdict is not None:
            return run(self.serving, frames)
        began = self._clock.monotonic()
        with self._lock:
            self._began = began if self._began is None else self._began
        try:
            result = call(self.engine, frames)
        except Exception as error:
            result = self._rescued(frames, error)
        else:
            self._ran(frames, self._clock.monotonic() - began)
        with self._lock:
            self._batches += 1
            if (
                self._batches >= PROBATION_BATCHES
                and self._clock.monotonic() - self._began >= PROBATION_SECONDS
            ):
                self._end(kept=True)
        return result

    @property
    def device(self) -> torch.device | None:
        """See ``Engine``; of the one that serves."""
        return device_of(self.serving)

    def _rescued(self, frames: Pixels, error: Exception) -> Pixels:
        """What the one before makes of frames the new one failed on; it is not compiled for that in mid-stream."""
        if not is_prepared(self.before, *frames.shape[1:3]):
            raise error
        try:
            result = call(self.before, frames)
        except Exception:
            raise error from None
        with self._lock:
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self._end(kept=False, reason=f"it failed on batches that the one before translates ({what})")
        return result

    def _ran(self, frames: Pixels, took: float) -> None:
        shape = _shape(frames)
        with self._lock:
            doubtful = shape in self._pairs
            if not doubtful:
                times = self._times.setdefault(shape, deque(maxlen=RECENT))
                times.append(took)
                usual = self._usual.get(shape)
                if _enough(times, SUSPECT_AFTER) and (usual is None or _slower(median(times), usual)):
                    self._pairs[shape] = []
        if doubtful:
            self._pair(frames, took)

    def _pair(self, frames: Pixels, took: float) -> None:
        """Have the one before run a batch of a size in doubt, too, and compare once that was done often enough."""
        shape = _shape(frames)
        if not is_prepared(self.before, *shape[1:]):
            return
        began = self._clock.monotonic()
        try:
            call(self.before, frames)
        except Exception:  # the new one has made these pictures
            return
        with self._lock:
            if (pairs := self._pairs.get(shape)) is None:  # another thread had the last of them
                return
            pairs.append((took, self._clock.monotonic() - began))
            if not _enough([new for new, _ in pairs], PAIRS):
                return
            new, old = (median(times) for times in zip(*pairs, strict=True))
            faster = sum(mine <= theirs for mine, theirs in pairs)
            self._usual[shape], self._times[shape] = old, deque([new], maxlen=RECENT)
            del self._pairs[shape]
            if faster <= len(pairs) // PAIRS and _slower(new, old):
                self._end(
                    kept=False, reason=f"it is slower than the one before by {new / max(old, 1e-6):.1f} times"
                )

    def _end(self, *, kept: bool, reason: str = "") -> None:
        """Settle it, unless another thread did; under the lock."""
        if self.verdict is not None:
            return
        seconds = self._clock.monotonic() - (self._began or 0.0)
        figures = f"{max(self._batches, 1)} batches in {seconds:.0f} s, {self._failures} failed"
        if self._times:
            shape = max(self._times, key=lambda shape: len(self._times[shape]))
            frames, height, width = shape
            figures += f", {median(self._times[shape]) * 1e3:.1f} ms for {frames} of {width}x{height}"
            if shape in self._usual:
                figures += f" (before {self._usual[shape] * 1e3:.1f} ms)"
        self.verdict = ProbationResult(kept, reason, figures)
        self._on_verdict()


def _shape(frames: Pixels) -> Shape:
    count, height, width = frames.shape[:3]
    return count, height, width


def _enough(times: Collection[float], count: int) -> bool:
    """Whether ``times`` say something: ``count`` of them, or three that took long together."""
    return len(times) >= count or (len(times) >= 3 and sum(times) >= LONG)


def _slower(new: float, old: float) -> bool:
    return new > max(SLOWER * old, old + SLACK)
