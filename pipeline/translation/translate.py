"""The stage that makes day of night."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nightday.engines.backends.base import Engine
from nightday.engines.device_copies import Pixels

from ..core.backgrounds import Backgrounds
from ..core.clock import Clock
from ..core.counters import Histogram
from ..core.stages import BatchItem
from .batch_times import BatchTimes, size_of
from .engine_call import Made, beside_of, call_engine, translate


class TranslateStage:
    """Translates frames with one engine; those it fails on are lost at their cameras.

    Args:
        engine: translates them.
        times: told how long each call took, unless it raised.
        batches: counts the frames of each batch.
        ran: told the frames and the seconds of each batch.
        clock: time.
    """

    def __init__(
        self,
        engine: Engine,
        times: BatchTimes,
        batches: Histogram,
        ran: Callable[[int, float], None],
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._times = times
        self._batches = batches
        self._ran = ran
        self._clock = clock

    def __call__(self, items: Sequence[BatchItem]) -> Sequence[BatchItem]:
        """See ``Stage``."""
        began = self._clock.monotonic()
        pictures, known = [item.seen for item in items], [item.backgrounds for item in items]
        results = translate(self._call, pictures, known, device=self._engine.device)
        done = []
        for item, result in zip(items, results, strict=True):
            if isinstance(result, Exception):
                detail = f"the engine failed on a frame: {result}"
                item.camera.lose("engine_error", "engine", "engine_failed", detail)
            else:
                item.camera.faults.end("engine")
                (item.day, item.trust, ran), item.translated = result, True
                item.made_by = self._engine.info
                item.camera.stats.count_ran(ran)
                done.append(item)
        now = self._clock.monotonic()
        self._ran(len(items), now - began)
        self._batches.observe(len(items))
        for item in done:
            item.camera.stats.count_latency(now - item.frame.decoded_at, stage="translated")
        return done

    def _call(self, frames: Pixels, backgrounds: Sequence[Backgrounds]) -> Made:
        beside = beside_of(backgrounds) if self._engine.needs_backgrounds else None
        began = self._clock.monotonic()
        result = call_engine(self._engine, frames, beside)
        self._times.add(self._engine, size_of(frames), self._clock.monotonic() - began)
        return result
