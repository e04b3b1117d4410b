"""The workers that turn waiting frames into pictures for the outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping

from nightday.engines.backends.base import Engine

from ..core.clock import Clock
from ..core.counters import Histogram
from ..core.event_log import to_log
from ..core.events import Publish
from ..core.frame import Frame
from .batch_times import BatchTimes
from .batcher import Batcher, Taken, calls_of
from .channel import Channel
from .warm_up import WarmUp
from .worker import Shared, Worker


class WorkerPool(threading.Thread):
    """Takes batches and has its workers take them through the stages.

    It has a worker, a thread each, for every call that the engine with the most takes ``at_once``: while one draws or
    waits for frames, the others keep the processor busy. One worker at a time has a frame of a camera, so its
    pictures keep their order. The first works in this thread. When one fails they all end.

    Args:
        channels: the cameras' channels by name; ``add`` and ``remove`` change it.
        ready: the condition their slots share.
        max_batch: most frames the engine is given at once.
        stop: once set, the pool ends after the batches at hand and leaves what waits.
        batches: counts the frames given to an engine at once.
        clock: time.
        publish: told when an engine is ready for a new size.
        on_end: called in this thread as it ends, after all workers.
    """

    def __init__(
        self,
        channels: dict[str, Channel],
        *,
        ready: threading.Condition,
        max_batch: int,
        stop: threading.Event,
        batches: Histogram,
        clock: Clock,
        publish: Publish = to_log,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="workers", daemon=True)
        self._on_end = on_end
        self._channels = channels
        self._ready = ready
        self._stop_asked = stop
        self._clock = clock
        self._closed = threading.Event()
        self.batcher = Batcher(ready=ready, max_batch=max_batch, kind=_kind, clock=clock)
        for channel in channels.values():
            self.batcher.add(channel)
        self.times = BatchTimes()
        """What its engines take."""
        self._shared = Shared(
            channels=channels,
            ready=ready,
            batcher=self.batcher,
            stop=stop,
            batches=batches,
            times=self.times,
            warm_up=WarmUp(publish),
            clock=clock,
        )
        self._others: list[threading.Thread] = []
        self._beats = {0: clock.monotonic()}
        self._busy: dict[int, float] = {}  # seconds, by worker
        self.error: Exception | None = None
        """What ended the pool before its time, if anything did."""

    @property
    def beat_at(self) -> float:
        """When the worker that has been busy the longest began a batch, or found nothing to do; monotonic clock."""
        with self._ready:
            return min(self._beats.values(), default=self._clock.monotonic())

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return 1 + len(self._others)

    @property
    def busy(self) -> float:
        """Seconds that the workers have had batches, all together."""
        return sum(self._busy.copy().values())

    def start(self) -> None:
        """Begin to work."""
        self._beats[0] = self._clock.monotonic()
        super().start()

    def run(self) -> None:
        """Work until finished or stopped."""
        with self._ready:
            self._hire()
        self._work(0)
        for other in self._others:
            other.join()
        self._on_end()

    def finish(self) -> None:
        """No more frames will come: work off what waits and end. Returns at once; ``join`` waits."""
        with self._ready:
            self._closed.set()
            self._ready.notify_all()

    def add(self, channel: Channel) -> None:
        """Take in a camera, in place of one of its name if there is one, of which a frame in a batch is dropped."""
        with self._ready:
            self._channels[channel.name] = channel
            self.batcher.add(channel)
            if self.is_alive():
                self._hire()

    def remove(self, name: str) -> None:
        """Leave a camera out; a frame of it that is in a batch already is dropped."""
        with self._ready:
            self._channels.pop(name, None)
            self.batcher.remove(name)

    def swap(self, engines: Mapping[str, Engine]) -> None:
        """Give cameras, by name, other engines, all at once. Batches at hand are translated by those before."""
        with self._ready:
            for name, engine in engines.items():
                self._channels[name].engine = engine
                self.batcher.forget_kind(name)
            if self.is_alive():
                self._hire()

    def frame_seconds(self) -> dict[str, float]:
        """What one frame of each camera, by name, usually takes its engine, where that is known."""
        with self._ready:
            serving = [(channel.name, channel.size, channel.engine) for channel in self._channels.values()]
        known = {}
        for name, size, engine in serving:
            usual = self.times.usual(engine) if engine is not None else {}
            own = [seconds / count for (count, *shape), seconds in usual.items() if (*shape,) == size]
            if own:
                known[name] = min(own)
        return known

    def _hire(self) -> None:
        """Have a worker for each call that the engine with the most takes at once; under ``ready``."""
        wanted = max((calls_of(channel.engine) for channel in self._channels.values()), default=1)
        while len(self._others) < wanted - 1:
            number = len(self._others) + 1
            self._beats[number] = self._clock.monotonic()
            other = threading.Thread(target=self._work, args=(number,), name=f"worker-{number}", daemon=True)
            self._others.append(other)
            other.start()

    def _over(self) -> bool:
        return self._stop_asked.is_set() or self.error is not None

    def _work(self, number: int) -> None:
        worker = Worker(self._shared)
        taken: list[Taken] = []
        try:
            while not self._over():
                batches = self.batcher.next(self._closed)
                self._beats[number] = self._clock.monotonic()
                if not batches and self._closed.is_set():
                    break
                for batch in batches:
                    taken = batch
                    worker.process(batch)
                took = self._clock.monotonic() - self._beats[number]
                self.batcher.done(batches, took)
                if batches:
                    self._busy[number] = self._busy.get(number, 0.0) + took
        except Exception as error:
            self.error = self.error or error
            for channel, _ in taken:
                channel.stats.count_dropped("loop_failed")
        finally:
            with self._ready:
                del self._beats[number]
                self._ready.notify_all()


def _kind(channel: Channel, frame: Frame) -> Hashable:
    """What frames of a batch share: the engine, where they lie, and the size."""
    engine = None if channel.engine is None else id(channel.engine)
    return engine, channel.stays_on_gpu, frame.size
