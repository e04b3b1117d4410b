"""Measures what frames cost on this machine, by running the program's own parts on a bundled night."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np

from nightday.engines import cores
from nightday.engines.backends.base import Engine
from nightday.engines.cache import machine
from nightday.engines.distribution import program_version

from ...media import gpu_video
from .apart import by_second, lone_call
from .demands import Scene
from .footage import DAY, Footage, make_footage
from .memory import memory_limit
from .parts import Chain, Decoding, Parts, Working
from .profile import BatchCost, Curve, Profile

# Height and width. At the first nothing but what every frame costs is left; the engine is not asked for it.
SMALLEST = (48, 64)
SIZES = ((288, 352), (720, 1280), (1080, 1920))
# Seconds that measuring cameras of a size and scene takes, alone and side by side; and the seconds after which no
# further size is begun.
ALONE_SECONDS, BESIDE_SECONDS = 0.9, 0.7
BEGIN_WITHIN = 30.0
# Fewest frames of a camera.
FEWEST = 3
# Cameras whose frames come in turns, so that none finds its data in the processor's caches, and most threads side by
# side.
IN_TURNS = 8
MOST_THREADS = 8
# Frames of a batch that are measured where the engine takes batches.
BATCHES = (1, 2, 4, 8, 16, 32)
DECILES = (5, 15, 25, 35, 45, 55, 65, 75, 85, 95)

Say = Callable[[str], None]


@dataclass(slots=True)
class _Points:
    """What was measured so far: (pixels, cost) by part."""

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    batches: dict[int, dict[int, tuple[float, float]]] = field(default_factory=lambda: defaultdict(dict))
    """By the frames of a batch and the pixels of a picture: seconds, and processor time."""
    night_spread: tuple[float, ...] = (1.0,)
    encode_spread: tuple[float, ...] = (1.0,)
    generator_share: float | None = None

    def add(self, part: str, pixels: int, cost: float) -> None:
        self.curves[part].append((pixels, cost))

    def add_batch(self, count: int, pixels: int, seconds: float, processor: float) -> None:
        self.batches[count][pixels] = seconds, processor

    def curve(self, part: str) -> Curve:
        return Curve(tuple(self.curves[part]))

    def smallest(self, part: str) -> float:
        return self.curves[part][0][1]


def measure(engine: Engine, model: str, *, max_batch: int, say: Say = lambda line: None) -> Profile:
    """Measure this machine with an engine.

    Args:
        engine: of the cameras.
        model: file name of its checkpoint.
        max_batch: most frames that it is given at once.
        say: told, in a line each, what is being measured.
    """
    began = time.monotonic()
    processors = cores.processors()
    points = _Points()
    with tempfile.TemporaryDirectory(prefix="nightday-plan-") as folder:
        for number, size in enumerate((SMALLEST, *SIZES)):
            if number > 1 and time.monotonic() - began > BEGIN_WITHIN:
                say(
                    f"no time is left to measure {_text(size)}; its costs follow from those of smaller pictures"
                )
                continue
            say(f"measuring pictures of {_text(size)}")
            _measure_size(size, engine, max_batch, processors, points, Path(folder))
    return Profile(
        machine=", ".join(part for part in machine.device_and_driver() if part),
        processors=processors,
        memory=memory_limit(),
        program=program_version(),
        model=model,
        engine=f"{engine.info.backend} {engine.info.precision}",
        on_gpu=engine.device is not None,
        at_once=engine.at_once,
        needs_backgrounds=engine.needs_backgrounds,
        generator_share=points.generator_share,
        decode=points.curve("decode"),
        decode_day=points.curve("decode_day"),
        day=points.curve("day"),
        night={
            count: BatchCost(
                Curve(tuple((pixels, seconds) for pixels, (seconds, _) in sizes.items())),
                Curve(tuple((pixels, processor) for pixels, (_, processor) in sizes.items())),
            )
            for count, sizes in points.batches.items()
        },
        quiet=points.curve("quiet") if points.curves["quiet"] else None,
        encode=points.curve("encode"),
        encode_passed=points.curve("encode_passed"),
        record=points.curve("record"),
        send=points.curve("send"),
        by_second=points.curve("by_second"),
        decode_lock=points.smallest("decode_day"),
        work_lock=points.smallest("day"),
        encode_lock=points.smallest("encode_passed") + points.smallest("record"),
        night_spread=points.night_spread,
        encode_spread=points.encode_spread,
        measured_at=time.time(),
        load=os.getloadavg()[0],
    )


def _measure_size(
    size: tuple[int, int], engine: Engine, max_batch: int, processors: int, points: _Points, folder: Path
) -> None:
    beside = min(processors, MOST_THREADS)
    nvdec = engine.device is not None and not gpu_video.fault()
    by_day = make_footage(size, folder, clip=DAY)
    with _chains(by_day, folder / "day", engine, "day", beside, nvdec=nvdec) as chains:
        day = _measure(chains, beside)
    pixels = by_day.pixels
    points.add("decode_day", pixels, day.mean.decode)
    points.add("day", pixels, day.mean.work)
    points.add("encode_passed", pixels, day.mean.encode)
    points.add("record", pixels, day.mean.record)
    points.add("send", pixels, day.mean.send)
    points.encode_spread = day.encode_spread
    if size == SMALLEST:
        return
    engine.prepare(*size)
    by_night = make_footage(size, folder)
    points.add("by_second", pixels, by_second(by_night, lasting=engine.needs_backgrounds))
    # Where the engine takes batches, what it does with them is measured apart.
    beside = engine.at_once or 1
    with _chains(by_night, folder / "busy", engine, "busy", beside, nvdec=nvdec) as chains:
        busy = _measure(chains, beside)
        share = chains[0].stats.snapshot().generator_share
    points.add("decode", pixels, busy.mean.decode)
    points.add("encode", pixels, busy.mean.encode)
    points.night_spread = busy.work_spread
    lone = lone_call(by_night, engine) if processors > 1 else busy.mean.work
    points.add_batch(1, pixels, min(lone, busy.mean.work), busy.mean.work)
    if points.generator_share is None:
        points.generator_share = share
    if engine.at_once is None:
        _measure_batches(by_night, engine, max_batch, points)
    elif share is not None:
        with _chains(by_night, folder / "quiet", engine, "quiet", beside, nvdec=nvdec) as chains:
            points.add("quiet", pixels, _measure(chains, beside).mean.work)


@dataclass(frozen=True, slots=True)
class _Measured:
    mean: Parts
    work_spread: tuple[float, ...]
    encode_spread: tuple[float, ...]


@contextmanager
def _chains(
    footage: Footage, folder: Path, engine: Engine, scene: Scene, beside: int, *, nvdec: bool
) -> Iterator[list[Chain]]:
    """Cameras for so many threads."""
    chains: list[Chain] = []
    try:
        # With more threads their caches are full of each other's data.
        for number in range(max(IN_TURNS, 2 * beside)):
            chains.append(Chain(footage, folder / f"{number}", engine, scene=scene, nvdec=nvdec))
            chains[-1]()  # opens its decoder, encoder and file, and what the engine makes of its backgrounds
        yield chains
    finally:
        for chain in chains:
            chain.close()


def _measure(chains: Sequence[Chain], beside: int) -> _Measured:
    """What the parts of a frame take, alone, times how much longer it takes with other processors busy beside."""
    frames: list[Parts] = []
    until = time.monotonic() + ALONE_SECONDS
    while time.monotonic() < until or len(frames) < FEWEST * len(chains):
        frames.append(chains[len(frames) % len(chains)]())
    mean = Parts(*(fmean(column) for column in zip(*map(astuple, frames), strict=True)))
    slower = 1.0
    if beside > 1:
        slower = _side_by_side([chains[start::beside] for start in range(beside)]) / mean.total
    return _Measured(
        Parts(*(slower * part for part in astuple(mean))),
        _spread([frame.work for frame in frames]),
        _spread([frame.encode for frame in frames]),
    )


def _side_by_side(groups: Sequence[Sequence[Callable[[], object]]]) -> float:
    """Processor time of the whole process that a frame takes, where each group has a thread."""
    counts = [0] * len(groups)
    until = time.monotonic() + BESIDE_SECONDS

    def run(number: int) -> None:
        group = groups[number]
        while time.monotonic() < until or counts[number] < FEWEST:
            group[counts[number] % len(group)]()
            counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(1, len(groups))]
    began = time.process_time()
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()
    return (time.process_time() - began) / sum(counts)


def _measure_batches(footage: Footage, engine: Engine, max_batch: int, points: _Points) -> None:
    """What a worker does with batches, for an engine that takes them."""
    nvdec = engine.device is not None and not gpu_video.fault()
    for count in (count for count in BATCHES if count <= max_batch):
        worker = Working(footage, engine, translated=True, cameras=count)
        decoders = [Decoding(footage, channel.slot, nvdec=nvdec) for channel in worker.channels]
        seconds, processor, runs = 0.0, 0.0, -1  # the first is not counted
        while seconds < BESIDE_SECONDS or runs < FEWEST:
            for decode in decoders:
                decode()
            began, processor_began = time.monotonic(), time.process_time()
            worker.next()
            runs += 1
            if runs:
                seconds += time.monotonic() - began
                processor += time.process_time() - processor_began
        for decode in decoders:
            decode.close()
        points.add_batch(count, footage.pixels, seconds / runs, processor / runs)


def _spread(costs: Sequence[float]) -> tuple[float, ...]:
    """Deciles of costs as multiples of their mean; they have the mean 1."""
    deciles = np.percentile(costs, DECILES)
    return tuple((deciles / max(float(deciles.mean()), 1e-12)).tolist())


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
