"""The one thread that turns waiting frames into pictures for the outputs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

from engines import copies
from engines.copies import Pixels
from engines.detections import Detection
from pipeline import nvcodec
from pipeline.batcher import Batcher, Taken
from pipeline.clock import Clock
from pipeline.compose import draw_detections, draw_mark
from pipeline.frame import Frame, Picture
from pipeline.line import Detect, Line
from pipeline.probation import BatchTimes
from pipeline.stats import Histogram
from pipeline.translator import Translate, device_of, stack, to_rgb, translate
from pipeline.warmup import WarmUp

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A frame on its way: as the camera saw it and as it will be shown, (H, W, 3) each."""

    line: Line
    frame: Frame
    seen: Pixels
    day: Pixels
    translated: bool


_Dark = tuple[Line, Frame, Pixels]
"""A frame to be translated, and its colours."""


class Loop(threading.Thread):
    """Takes batches, translates what is night, draws, and hands pictures to the outputs.

    Args:
        lines: the cameras' lines by name; ``add`` and ``remove`` change it.
        ready: the condition their slots share.
        max_batch: most frames the engine is given at once.
        stop: once set, the loop ends after the batch at hand and leaves what waits.
        batches: counts the frames given to an engine at once.
        clock: time.
        on_end: called in this thread as it ends.
    """

    def __init__(
        self,
        lines: dict[str, Line],
        *,
        ready: threading.Condition,
        max_batch: int,
        stop: threading.Event,
        batches: Histogram,
        clock: Clock,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="loop", daemon=True)
        self._on_end = on_end
        self._batches = batches
        self._lines = lines
        self._ready = ready
        self._stop_asked = stop
        self._clock = clock
        self._closed = threading.Event()
        self._reformatter = VideoReformatter()
        self._warm_up = WarmUp()
        self.batcher = Batcher(ready=ready, max_batch=max_batch, kind=self._kind, clock=clock)
        for line in lines.values():
            self.batcher.add(line)
        self.times = BatchTimes(clock)
        """What its engines take."""
        self.beat_at = clock.monotonic()
        """When it last began a batch or found nothing to do, on the monotonic clock."""
        self.error: Exception | None = None
        """What ended the loop before its time, if anything did."""

    def finish(self) -> None:
        """No more frames will come: work off what waits and end. Returns at once; ``join`` waits."""
        with self._ready:
            self._closed.set()
            self._ready.notify_all()

    def add(self, line: Line) -> None:
        """Take in a camera, in place of one of its name if there is one, of which a frame in a batch is dropped."""
        with self._ready:
            self._lines[line.name] = line
            self.batcher.add(line)

    def remove(self, name: str) -> None:
        """Leave a camera out; a frame of it that is in a batch already is dropped."""
        with self._ready:
            self._lines.pop(name, None)
            self.batcher.remove(name)

    def swap(self, engines: Mapping[str, Translate]) -> None:
        """Give cameras, by name, other engines, all at once. A batch at hand is translated by those before."""
        with self._ready:
            for name, engine in engines.items():
                self._lines[name].engine = engine
                self.batcher.forget_kind(name)

    def run(self) -> None:
        """Work until finished or stopped."""
        batch: list[Taken] = []
        try:
            while not self._stop_asked.is_set():
                batches = self.batcher.next(self._closed)
                self.beat_at = self._clock.monotonic()
                if not batches and self._closed.is_set():
                    break
                for batch in batches:
                    self._process(batch)
        except Exception as error:
            self.error = error
            for line, _ in batch:
                line.stats.count_dropped("loop_failed")
        finally:
            self._on_end()

    def _kind(self, line: Line, frame: Frame) -> Hashable:
        """What frames of a batch share: the engine, where they lie, and the size."""
        return (
            id(line.engine) if line.engine else None, line.stays_on_gpu, frame.video.width, frame.video.height
        )  # fmt: skip

    def _engine_ready(self, line: Line, engine: Translate, frame: Frame) -> bool:
        # A file at its fastest loses no frame: it waits, and the others with it.
        return line.lossless or self._warm_up.ready(engine, frame.video.height, frame.video.width)

    def _process(self, batch: Sequence[Taken]) -> None:
        with self._ready:  # all of them before a swap, or all after it
            engines = [line.engine for line, _ in batch]
        passed: list[_View] = []
        dark: dict[
            int, tuple[Translate, list[_Dark]]
        ] = {}  # by engine: a swap may come between taking and this
        for (line, frame), engine in zip(batch, engines, strict=True):
            if self._lines.get(line.name) is not line:  # removed or replaced since
                continue
            line.size = (frame.video.height, frame.video.width)
            try:
                night = line.wants_translation(frame)
                if night and engine is not None and not self._engine_ready(line, engine, frame):
                    line.stats.count_dropped("engine_starting")
                    continue
                rgb = self._colours(frame, device_of(engine) if line.stays_on_gpu else None)
            except Exception as error:
                message = f"a frame cannot be converted to RGB: {error}"
                line.lose("decode_error", "colour", "frame_failed", message)
                continue
            line.all_right("colour")
            line.collect(frame, rgb)
            if night and engine is not None:
                dark.setdefault(id(engine), (engine, []))[1].append((line, frame, rgb))
            else:
                passed.append(_View(line, frame, rgb, rgb, translated=False))
        self._show(passed)
        for engine, frames in dark.values():
            began = self._clock.monotonic()
            views = _translated(partial(self.times.run, engine), frames, device_of(engine))
            now = self._clock.monotonic()
            self.batcher.ran(len(frames), now - began)
            self._batches.observe(len(frames))
            for view in views:
                view.line.stats.count_latency(now - view.frame.decoded_at, stage="translated")
            self._show(views)

    def _colours(self, frame: Frame, device: torch.device | None) -> Pixels:
        """A frame as RGB (H, W, 3) where it lies, or on ``device``, where it will be translated and encoded."""
        if nvcodec.on_gpu(frame.video):
            return nvcodec.rgb_of(frame.video)
        rgb = to_rgb(frame.video, self._reformatter)
        return rgb if device is None else copies.to_device(rgb, device, "decode")

    def _show(self, views: Sequence[_View]) -> None:
        found = self._detected(views)
        for view, detections in zip(views, found, strict=True):
            line = view.line
            try:
                self._finish_picture(view, detections)
            except Exception as error:
                message = f"a picture cannot be finished: {error}"
                line.lose("engine_error", "compose", "frame_failed", message)
            else:
                line.all_right("compose")

    def _detected(self, views: Sequence[_View]) -> list[Sequence[Detection]]:
        """Detections of each view; those of one detector go through it together."""
        found: list[Sequence[Detection]] = [() for _ in views]
        groups: dict[int, tuple[Detect, list[int]]] = {}
        for index, view in enumerate(views):
            if view.line.detect is not None:
                groups.setdefault(id(view.line.detect), (view.line.detect, []))[1].append(index)
        for detect, places in groups.values():
            try:
                days = [views[place].day for place in places]
                results = detect(stack(days, device=device_of(detect), why="detector"))
                for place, detections in zip(places, results, strict=True):
                    found[place] = detections
                    views[place].line.stats.count_detections([detection.label for detection in detections])
                    views[place].line.all_right("detect")
            except Exception as error:
                for place in places:
                    views[place].line.warn("detect", "detector_failed", f"detection failed: {error}")
        return found

    def _finish_picture(self, view: _View, detections: Sequence[Detection]) -> None:
        line, frame = view.line, view.frame
        if line.background is not None:  # before anything is drawn
            line.sample_background(frame, view.day, seen=view.seen, translated=view.translated)
        keep = line.config.snapshot is not None
        rgb = _copy(view.day) if keep and detections and not view.translated else view.day
        if detections:
            draw_detections(rgb, detections)
        if view.translated:
            draw_mark(rgb)
        picture = Picture(frame=frame, rgb=rgb, translated=view.translated)
        for sink in line.sinks:
            if not (line.lossless and sink.put_wait(picture, cancelled=self._stop_asked)):
                sink.offer(picture)
        line.stats.count_output(translated=view.translated)
        if not line.sinks:  # else each output counts what it has written
            line.stats.count_latency(self._clock.monotonic() - frame.decoded_at)
        if keep:
            line.shown = (view.seen, rgb)


def _copy(rgb: Pixels) -> Pixels:
    return rgb.clone() if isinstance(rgb, Tensor) else rgb.copy()


def _translated(
    engine: Callable[[Pixels], Pixels], dark: Sequence[_Dark], device: torch.device | None
) -> list[_View]:
    """Views of the frames the engine could translate; the others are counted as dropped."""
    views = []
    results = translate(engine, [rgb for _, _, rgb in dark], device=device)
    for (line, frame, rgb), result in zip(dark, results, strict=True):
        if isinstance(result, Exception):
            line.lose("engine_error", "engine", "engine_failed", f"the engine failed on a frame: {result}")
        else:
            line.all_right("engine")
            views.append(_View(line, frame, rgb, result, translated=True))
    return views
