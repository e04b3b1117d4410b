"""Starts the cameras, watches over them, and ends them in good order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.background import Background
from pipeline.clock import Clock, SystemClock
from pipeline.config import CameraConfig, Config
from pipeline.gate import NightGate
from pipeline.inbox import Inbox
from pipeline.line import Detect, Line
from pipeline.loop import Loop
from pipeline.media import open_input
from pipeline.reader import Reader, ReaderEvent
from pipeline.sinks import open_sink
from pipeline.slot import LatestSlot
from pipeline.stats import CameraStats
from pipeline.status import CameraStatus
from pipeline.translator import Translate
from pipeline.written import recordings

log = logging.getLogger(__name__)

SAVE_EVERY = 10.0  # seconds between the snapshots and backgrounds written under way
STOP_WITHIN = 4.5  # seconds from a signal until every file is closed; 5 are promised
FINISH_WITHIN = 60.0  # seconds the outputs have for their last pictures when the sources ended by themselves
LOOP_SHARE = 0.5  # of the time for stopping, what the loop has for the batch at hand

ENDED = ("finished", "failed", "stopped")

Cause = Literal["finished", "duration", "signal", "failed"]
Report = Callable[[Sequence[CameraStatus], float], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        cause: what ended it: all sources at their end, the time limit, a signal, or a failure of the program.
        problems: one line for each thing that went wrong and was not put right.
        files: what was written.
        cameras: each camera at the end.
        clean: whether every thread ended; if not, only ``os._exit`` is sure to end the process.
    """

    cause: Cause
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    cameras: tuple[CameraStatus, ...]
    clean: bool


def run(
    config: Config,
    *,
    engines: Mapping[Path, Translate],
    detectors: Mapping[Path, Detect] | None = None,
    duration: float | None = None,
    report: Report | None = None,
    report_every: float = 1.0,
    inbox: Inbox | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Run all cameras until their sources end, ``duration`` seconds have passed, or ``"stop"`` is in the inbox.

    Args:
        config: what to run.
        engines: the generator of each checkpoint the cameras name.
        detectors: the detector of each model they name.
        duration: seconds, from when the cameras are opened; None for no limit.
        report: called every ``report_every`` seconds, and at the end, with the cameras' states and the seconds
            since the start.
        report_every: seconds.
        inbox: where ``"stop"`` may come from; see ``signals``.
        clock: time.
    """
    clock = clock or SystemClock()
    inbox = inbox or Inbox()
    stop = threading.Event()
    ready = threading.Condition()
    outputs = [output for camera in config.cameras for output in camera.outputs]
    before = recordings(outputs)
    lines = {
        camera.name: _line(camera, engines, detectors or {}, ready=ready, clock=clock)
        for camera in config.cameras
    }
    loop = Loop(
        lines,
        ready=ready,
        max_batch=config.engine.max_batch,
        stop=stop,
        clock=clock,
        on_end=lambda: inbox.put("ended"),
    )
    readers = {name: _reader(line, stop=stop, inbox=inbox, clock=clock) for name, line in lines.items()}

    def states() -> tuple[CameraStatus, ...]:
        return tuple(_state(line, readers[line.name].event) for line in lines.values())

    if not _warm_up(list(lines.values()), inbox):
        for line in lines.values():
            for sink in line.sinks:
                sink.finish()
        return Outcome("signal", (), (), states(), clean=False)
    started = clock.monotonic()
    loop.start()
    for reader in readers.values():
        reader.start()
    pictures: set[Path] = set()
    cause = _watch(
        inbox,
        readers,
        loop,
        lines,
        pictures,
        started=started,
        duration=duration,
        clock=clock,
        tick=(lambda seconds: report(states(), seconds)) if report else None,
        tick_every=report_every,
    )
    problems, clean = _end(cause, lines, readers, loop, inbox, stop=stop)
    for line in lines.values():
        if line.background is not None and not loop.is_alive():
            line.background.settle()
        pictures.update(line.save_pictures())
    final = states()
    if report is not None:
        report(final, clock.monotonic() - started)
    if cause in ("finished", "duration"):  # a signal may come before a camera had the time
        problems += _without_pictures(final, lines, readers)
        if not any(camera.pictures for camera in final):
            problems.append("no camera delivered a single picture")
    files = sorted(recordings(outputs) - before) + sorted(pictures)
    return Outcome(cause, tuple(problems), tuple(files), final, clean)


def _line(
    camera: CameraConfig,
    engines: Mapping[Path, Translate],
    detectors: Mapping[Path, Detect],
    *,
    ready: threading.Condition,
    clock: Clock,
) -> Line:
    stats = CameraStats()
    line = Line(
        config=camera,
        stats=stats,
        slot=LatestSlot(ready=ready, stats=stats),
        engine=engines[camera.model] if camera.translate != "never" and camera.model else None,
        detect=detectors[camera.detect] if camera.detect else None,
        gate=NightGate() if camera.translate == "night" else None,
    )
    if camera.background:
        kept = camera.background
        line.background = Background(frames=kept.frames, every=kept.every_s, path=kept.save)
    line.sinks = [
        open_sink(
            output,
            camera=camera.name,
            stats=stats,
            segment_seconds=camera.segment_seconds,
            generated=line.engine is not None,
            on_event=line.output_changed,
            clock=clock,
        )
        for output in camera.outputs
    ]
    return line


def _reader(line: Line, *, stop: threading.Event, inbox: Inbox, clock: Clock) -> Reader:
    def changed(event: ReaderEvent) -> None:
        if event.state in ENDED:
            inbox.put("ended")

    camera = line.config
    return Reader(
        camera=camera.name,
        source=camera.url,
        slot=line.slot,
        stats=line.stats,
        stop=stop,
        pace=camera.pace,
        loop=camera.loop,
        on_event=changed,
        clock=clock,
    )


def _warm_up(lines: Sequence[Line], inbox: Inbox) -> bool:
    """Run each engine once at the sizes of the files it will be given; False if told to stop meanwhile.

    Engines compile a graph at the first frame of a size, for about a second, in which a file at its own pace
    would lose 25 frames. What a camera on the network will send is not known before it is opened.
    """

    def work() -> None:
        try:
            _run_once(lines)
        finally:
            inbox.put("warm")

    threading.Thread(target=work, name="warm-up", daemon=True).start()
    while (word := inbox.get(60.0)) != "warm":
        if word == "stop":
            return False
    return True


def _run_once(lines: Sequence[Line]) -> None:
    done: set[tuple[int, int, int]] = set()
    for line in lines:
        if line.engine is None or not line.config.url.is_file:
            continue
        with suppress(Exception):  # whatever is wrong with the file, its reader will say
            with open_input(line.config.url, open_timeout=5.0, stall_timeout=5.0) as container:
                context = container.streams.video[0].codec_context
                width, height = context.width, context.height
            if (id(line.engine), width, height) not in done:
                began = time.monotonic()
                line.engine(np.zeros((1, height, width, 3), np.uint8))
                done.add((id(line.engine), width, height))
                log.info(
                    "engine ready for %dx%d in %.1f s", width, height, time.monotonic() - began,
                    extra={"event": "engine_ready"},
                )  # fmt: skip


def _watch(
    inbox: Inbox,
    readers: Mapping[str, Reader],
    loop: Loop,
    lines: Mapping[str, Line],
    pictures: set[Path],
    *,
    started: float,
    duration: float | None,
    clock: Clock,
    tick: Callable[[float], None] | None,
    tick_every: float,
) -> Cause:
    """Wait for what ends the run; report and save pictures meanwhile."""
    end = float("inf") if duration is None else started + duration
    next_tick, next_save = started + tick_every, started + SAVE_EVERY
    while True:
        now = clock.monotonic()
        word = inbox.get(min(next_tick, next_save, end) - now)
        now = clock.monotonic()
        if word == "stop":
            return "signal"
        if not loop.is_alive():
            return "failed"
        if not any(reader.is_alive() and reader.event.state not in ENDED for reader in readers.values()):
            return "finished"
        if now >= end:
            return "duration"
        if now >= next_tick:
            next_tick = max(next_tick + tick_every, now)
            if tick is not None:
                tick(now - started)
        if now >= next_save:
            for line in lines.values():
                pictures.update(line.save_pictures())
            next_save = clock.monotonic() + SAVE_EVERY


def _end(
    cause: Cause,
    lines: Mapping[str, Line],
    readers: Mapping[str, Reader],
    loop: Loop,
    inbox: Inbox,
    *,
    stop: threading.Event,
) -> tuple[list[str], bool]:
    """Stop readers and loop, let the outputs finish; what was not put right, and whether all threads ended."""
    problems = []
    in_time = cause == "finished"
    if not in_time:
        stop.set()
    loop.finish()
    while in_time and loop.is_alive():  # it works off the last frames, unless told to stop
        loop.join(0.05)
        in_time = inbox.get(0) != "stop"
    stop.set()
    deadline = time.monotonic() + (FINISH_WITHIN if in_time else STOP_WITHIN)
    loop.join(STOP_WITHIN * LOOP_SHARE)
    sinks = [sink for line in lines.values() for sink in line.sinks]
    for sink in sinks:
        sink.finish()
    for sink in sinks:
        if not sink.close(max(0.0, deadline - time.monotonic())):
            problems.append(f"{sink.event.camera}: output {sink.event.output} could not be closed in time")
    if cause != "signal":  # whoever stops a camera for good knows what the log says of a server that is away
        problems += [
            f"{event.camera}: output {event.output} failed ({event.reason}: {event.detail})"
            for line in lines.values()
            for event in line.troubles.values()
        ]
    if loop.is_alive():
        log.warning(
            "the batch at hand is lost: the engine did not return in time", extra={"event": "batch_lost"}
        )
    if loop.error is not None:
        problems.append(f"the loop failed: {type(loop.error).__name__}: {' '.join(str(loop.error).split())}")
    for reader in readers.values():
        reader.join(max(0.0, deadline - time.monotonic()))
        if reader.event.state == "failed":
            problems.append(f"{reader.event.camera}: failed ({reader.event.reason}: {reader.event.detail})")
        elif not reader.is_alive() and reader.event.state not in ENDED:
            problems.append(f"{reader.event.camera}: its reader died while {reader.event.state}")
    threads = [loop, *sinks, *readers.values()]
    return problems, not any(thread.is_alive() for thread in threads)


def _without_pictures(
    cameras: Sequence[CameraStatus], lines: Mapping[str, Line], readers: Mapping[str, Reader]
) -> list[str]:
    """A line for each camera from which nothing came to see, but for those that ended as failed."""
    problems = []
    for camera in cameras:
        event, lost = readers[camera.name].event, lines[camera.name].lost
        if camera.pictures or camera.state == "failed":
            continue
        if not camera.stats.decoded:
            why = f"{event.reason}: {event.detail}" if event.reason else "it was still being opened"
            problems.append(f"{camera.name}: never delivered a picture ({why})")
        elif lost:
            problems.append(f"{camera.name}: none of its {camera.stats.decoded} frames came through ({lost})")
    return problems


def _state(line: Line, event: ReaderEvent) -> CameraStatus:
    troubled = tuple(f"{name} ({trouble.reason})" for name, trouble in line.troubles.copy().items())
    return CameraStatus(
        name=line.name,
        state=event.state,
        reason=event.reason,
        night=line.gate.night if line.gate else None,
        outputs=troubled,
        stats=line.stats.snapshot(),
    )
