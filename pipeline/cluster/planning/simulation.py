"""The program's queues, simulated: one slot a camera, batches across cameras, workers, outputs.

Nothing is assumed but what frames cost and when they come. Each camera has a thread that decodes and one for each
encoder, as in the program. The decoder puts its frame into the camera's slot, in place of an older one that nobody
took. A worker takes the frame of the camera whose last turn is longest ago, and with it others where the engine takes
batches; one worker at a time has a frame of a camera. Before an output wait four pictures at the most.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...outputs.output import QUEUE
from .queueing import Machine, Thread, Wait

# Seconds before anything counts, and those that count: long enough for so many frames, within these limits.
WARM_UP = 1.0
FRAMES, SHORTEST, LONGEST = 3000, 2.0, 20.0
# By how much cameras of one rate differ in it, so that all of their phases are met in a short time.
RATE_SPREAD = 0.005
# Most frames that may be dropped of 100 of a camera that is carried.
DROPPED_MOST = 0.01


@dataclass(frozen=True, slots=True)
class Demand:
    """What a camera asks of the machine; seconds of processor time a frame.

    Attributes:
        name: of the camera.
        fps: frames a second.
        decode: decoding one.
        work: what a worker does with one that is translated alone, or that is not translated.
        translated: whether it is translated.
        outputs: for each encoder what encoding a picture and writing it takes.
        memory: bytes that it keeps.
        width: processors that translating one keeps busy where nothing else is being translated.
        batches: what a worker does with a batch of so many such frames: seconds, and processor time. Empty where
            frames are not translated in batches.
        max_age: seconds after which a frame that waits is dropped.
    """

    name: str
    fps: float
    decode: float
    work: float
    translated: bool
    outputs: tuple[float, ...]
    memory: int
    width: float = 1.0
    batches: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    max_age: float = 1.0

    @property
    def cores(self) -> float:
        """Processor time a second, in cores, in batches as large as they get."""
        work = self.work
        if self.translated and self.batches:
            work = min(processor / count for count, (_, processor) in self.batches.items())
        return self.fps * (self.decode + work + sum(self.outputs))


@dataclass(frozen=True, slots=True)
class Locks:
    """The parts of the costs that hold the interpreter's lock, in seconds a frame, and how single costs vary."""

    decode: float
    work: float
    encode: float
    night_spread: tuple[float, ...] = (1.0,)
    encode_spread: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of cameras.

    Attributes:
        p95: of each camera, the 95th percentile of the seconds from the end of a frame's decoding until all its
            outputs have it; infinite where none came through.
        dropped: of each, the share of its frames that were dropped.
        cores: processors that were busy on average.
    """

    p95: tuple[float, ...]
    dropped: tuple[float, ...]
    cores: float

    def within(self, budget: float) -> bool:
        """Whether every camera keeps within ``budget`` seconds and loses next to nothing."""
        return all(seconds <= budget for seconds in self.p95) and all(
            share <= DROPPED_MOST for share in self.dropped
        )


class _Camera:
    def __init__(self, demand: Demand, number: int) -> None:
        self.demand = demand
        self.number = number
        self.slot: float | None = None
        """When the frame in its slot had been decoded."""
        self.last_turn = 0
        self.under_way = False
        self.queued = False
        self.decoded = self.dropped = 0
        self.latencies: list[float] = []


class _Output:
    def __init__(self) -> None:
        self.queue: deque[tuple[float, list[int]]] = deque()
        self.thread: Thread | None = None
        self.rests = False


def simulate(
    demands: Sequence[Demand],
    *,
    processors: float,
    workers: int,
    max_batch: int,
    locks: Locks,
    on_gpu: bool = False,
    seed: int = 0,
) -> Outcome:
    """What becomes of cameras that run on one machine.

    Args:
        demands: of each camera.
        processors: of the machine.
        workers: of the program.
        max_batch: most frames in a batch; 1 where the engine takes single frames side by side.
        locks: see ``Locks``.
        on_gpu: whether a worker waits for a GPU while it translates.
        seed: of when frames come and how their costs vary.
    """
    run = _Run(demands, Machine(processors), max_batch, locks, on_gpu, random.Random(seed))
    return run.outcome(workers)


class _Run:
    def __init__(
        self,
        demands: Sequence[Demand],
        machine: Machine,
        max_batch: int,
        locks: Locks,
        on_gpu: bool,
        rng: random.Random,
    ) -> None:
        self._machine, self._max_batch, self._locks, self._on_gpu, self._rng = (
            machine,
            max_batch,
            locks,
            on_gpu,
            rng,
        )
        self._cameras = [_Camera(demand, number) for number, demand in enumerate(demands)]
        self._outputs = [[_Output() for _ in demand.outputs] for demand in demands]
        self._waiting: list[tuple[int, float, int]] = []  # by turn: cameras with a frame that can be taken
        self._turn = 0
        self._translating = 0
        self._idle: list[Thread] = []

    def outcome(self, workers: int) -> Outcome:
        for camera in self._cameras:
            self._machine.wake(self._decoder(camera))
            for output, cost in zip(self._outputs[camera.number], camera.demand.outputs, strict=True):
                output.thread = self._writer(camera, output, cost)
                self._machine.wake(output.thread)
        for _ in range(workers):
            self._machine.wake(self._worker_thread())
        rate = sum(camera.demand.fps for camera in self._cameras)
        seconds = min(LONGEST, max(SHORTEST, FRAMES / max(rate, 1e-9)))
        self._machine.run(WARM_UP)
        used = self._machine.used
        for camera in self._cameras:
            camera.decoded = camera.dropped = 0
            camera.latencies.clear()
        self._machine.run(WARM_UP + seconds)
        return Outcome(
            tuple(_p95(camera.latencies) for camera in self._cameras),
            tuple(camera.dropped / max(1, camera.decoded) for camera in self._cameras),
            (self._machine.used - used) / seconds,
        )

    def _decoder(self, camera: _Camera) -> Thread:
        interval = (1 + self._rng.uniform(-RATE_SPREAD, RATE_SPREAD)) / camera.demand.fps
        due = self._rng.uniform(0, interval)
        lock = min(self._locks.decode, camera.demand.decode)
        while True:
            yield Wait("until", due)
            due += interval
            yield Wait("locked", lock)
            yield Wait("compute", camera.demand.decode - lock)
            camera.decoded += 1
            if camera.slot is not None:
                camera.dropped += 1
            camera.slot = self._machine.now
            self._offer(camera)

    def _offer(self, camera: _Camera) -> None:
        """Have a camera's frame taken in its turn."""
        if camera.slot is not None and not camera.under_way and not camera.queued:
            camera.queued = True
            heapq.heappush(self._waiting, (camera.last_turn, camera.slot, camera.number))
            if self._idle:
                self._machine.wake(self._idle.pop())

    def _take(self) -> list[tuple[_Camera, float]]:
        batch: list[tuple[_Camera, float]] = []
        while self._waiting and len(batch) < self._max_batch:
            camera = self._cameras[heapq.heappop(self._waiting)[2]]
            camera.queued = False
            decoded_at, camera.slot = camera.slot, None
            if decoded_at is None:
                continue
            if self._machine.now - decoded_at > camera.demand.max_age:
                camera.dropped += 1
                continue
            self._turn += 1
            camera.last_turn, camera.under_way = self._turn, True
            batch.append((camera, decoded_at))
        return batch

    def _worker_thread(self) -> Thread:
        worker: list[Thread] = []
        thread = self._worker(worker)
        worker.append(thread)
        return thread

    def _worker(self, this: list[Thread]) -> Thread:
        while True:
            batch = self._take()
            if not batch:
                self._idle.append(this[0])
                yield Wait("rest")
                continue
            dark = [camera.demand for camera, _ in batch if camera.demand.translated]
            single = [demand.work for demand in dark if not demand.batches]
            passed = sum(camera.demand.work for camera, _ in batch if not camera.demand.translated)
            yield Wait("locked", self._locks.work * len(batch))
            if passed:
                yield Wait("compute", max(0.0, passed - self._locks.work * (len(batch) - len(dark))))
            if single:
                factor = self._rng.choice(self._locks.night_spread)
                seconds = max(0.0, sum(single) * factor - self._locks.work * len(single))
                # A lone call has all processors, and one beside others has one.
                width = 1.0 if self._translating else max(demand.width for demand in dark)
                self._translating += 1
                yield Wait("compute", seconds / width, width)
                self._translating -= 1
            yield from self._translate([demand for demand in dark if demand.batches])
            for camera, decoded_at in batch:
                self._deliver(camera, decoded_at)
                camera.under_way = False
                self._offer(camera)

    def _translate(self, demands: Sequence[Demand]) -> Thread:
        """Translate frames that the engine takes in batches."""
        if not demands:
            return
        costs = [_of_batch(demand.batches, len(demands)) for demand in demands]
        seconds = sum(cost[0] for cost in costs) / len(costs)
        processor = sum(cost[1] for cost in costs) / len(costs)
        width = 1.0 if self._on_gpu else max(1.0, processor / seconds)
        yield Wait("compute", max(0.0, processor / width - self._locks.work * len(demands)), width)
        if self._on_gpu:
            yield Wait("sleep", max(0.0, seconds - processor))

    def _deliver(self, camera: _Camera, decoded_at: float) -> None:
        outputs = self._outputs[camera.number]
        if not outputs:
            camera.latencies.append(self._machine.now - decoded_at)
        left = [len(outputs)]
        for output in outputs:
            if len(output.queue) >= QUEUE:
                camera.dropped += 1
                left[0] = -1  # counts as dropped, once
                continue
            output.queue.append((decoded_at, left))
            if output.rests and output.thread is not None:
                output.rests = False
                self._machine.wake(output.thread)

    def _writer(self, camera: _Camera, output: _Output, cost: float) -> Thread:
        lock = min(self._locks.encode, cost)
        while True:
            if not output.queue:
                output.rests = True
                yield Wait("rest")
                continue
            decoded_at, left = output.queue.popleft()
            yield Wait("locked", lock)
            yield Wait("compute", max(0.0, cost * self._rng.choice(self._locks.encode_spread) - lock))
            left[0] -= 1
            if not left[0]:
                camera.latencies.append(self._machine.now - decoded_at)


def _of_batch(batches: Mapping[int, tuple[float, float]], count: int) -> tuple[float, float]:
    """What a batch of ``count`` takes, in between the sizes that were measured in proportion."""
    sizes = sorted(batches)
    high = next((size for size in sizes if size >= count), sizes[-1])
    low = max((size for size in sizes if size <= count), default=sizes[0])
    if high == low:
        factor = count / high
        return batches[high][0] * factor, batches[high][1] * factor
    share = (count - low) / (high - low)
    (low_s, low_p), (high_s, high_p) = batches[low], batches[high]
    return low_s + (high_s - low_s) * share, low_p + (high_p - low_p) * share


def _p95(latencies: list[float]) -> float:
    if not latencies:
        return float("inf")
    return sorted(latencies)[min(len(latencies) - 1, int(0.95 * len(latencies)))]
