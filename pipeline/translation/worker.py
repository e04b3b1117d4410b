"""What a worker of the loop does with a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

from nightday.engines import device_copies
from nightday.engines.detection.detections import Detection
from nightday.engines.device_copies import Pixels

from ..analysis.draw import draw_detections, draw_mark
from ..core.clock import Clock
from ..core.counters import Histogram
from ..core.frame import Frame, Picture
from ..media import gpu_video
from ..serving.probation import BatchTimes
from .batcher import Batcher, Taken
from .channel import Channel, Detector
from .engine_call import Translate, device_of, stack, to_rgb, translate
from .warm_up import WarmUp


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A frame on its way: as the camera saw it and as it will be shown, (H, W, 3) each."""

    channel: Channel
    frame: Frame
    seen: Pixels
    day: Pixels
    translated: bool


_Dark = tuple[Channel, Frame, Pixels]
"""A frame to be translated, and its colours."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the workers of a loop have in common.

    Attributes:
        lines: the cameras' lines by name; changed under ``ready``.
        ready: the condition their slots share.
        batcher: forms their batches.
        stop: once set, what waits is left.
        batches: counts the frames given to an engine at once.
        times: what engines take.
        warm_up: compiles for new sizes.
        detecting: held while a detector runs: none of them is made for several threads.
        clock: time.
    """

    channels: dict[str, Channel]
    ready: threading.Condition
    batcher: Batcher
    stop: threading.Event
    batches: Histogram
    times: BatchTimes
    warm_up: WarmUp
    clock: Clock
    detecting: threading.Lock = field(default_factory=threading.Lock)


class Worker:
    """Translates what is night of a batch, draws, and hands pictures to the outputs. One thread uses it.

    Args:
        shared: see ``Shared``.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._reformatter = VideoReformatter()

    def process(self, batch: Sequence[Taken]) -> None:
        """See the class. A frame of a line that is no longer among ``lines`` is dropped."""
        with self._shared.ready:  # all of them before a swap, or all after it
            engines = [channel.engine for channel, _ in batch]
        passed: list[_View] = []
        dark: dict[
            int, tuple[Translate, list[_Dark]]
        ] = {}  # by engine: a swap may come between taking and this
        for (channel, frame), engine in zip(batch, engines, strict=True):
            if self._shared.channels.get(channel.name) is not channel:  # removed or replaced since
                continue
            channel.size = (frame.video.height, frame.video.width)
            try:
                night = channel.wants_translation(frame)
                if night and engine is not None and not self._engine_ready(channel, engine, frame):
                    channel.stats.count_dropped("engine_starting")
                    continue
                rgb = self._colours(frame, device_of(engine) if channel.stays_on_gpu else None)
            except Exception as error:
                message = f"a frame cannot be converted to RGB: {error}"
                channel.lose("decode_error", "colour", "frame_failed", message)
                continue
            channel.all_right("colour")
            channel.collect(frame, rgb)
            if night and engine is not None:
                dark.setdefault(id(engine), (engine, []))[1].append((channel, frame, rgb))
            else:
                passed.append(_View(channel, frame, rgb, rgb, translated=False))
        self._show(passed)
        for engine, frames in dark.values():
            began = self._shared.clock.monotonic()
            views = _translated(partial(self._shared.times.run, engine), frames, device_of(engine))
            now = self._shared.clock.monotonic()
            self._shared.batcher.ran(len(frames), now - began)
            self._shared.batches.observe(len(frames))
            for view in views:
                view.channel.stats.count_latency(now - view.frame.decoded_at, stage="translated")
            self._show(views)

    def _engine_ready(self, channel: Channel, engine: Translate, frame: Frame) -> bool:
        # A file at its fastest loses no frame: it waits, and the others with it.
        return channel.lossless or self._shared.warm_up.ready(engine, frame.video.height, frame.video.width)

    def _colours(self, frame: Frame, device: torch.device | None) -> Pixels:
        """A frame as RGB (H, W, 3) where it lies, or on ``device``, where it will be translated and encoded."""
        if gpu_video.on_gpu(frame.video):
            return gpu_video.rgb_of(frame.video)
        rgb = to_rgb(frame.video, self._reformatter)
        return rgb if device is None else device_copies.to_device(rgb, device, "decode")

    def _show(self, views: Sequence[_View]) -> None:
        found = self._detected(views)
        for view, detections in zip(views, found, strict=True):
            channel = view.channel
            try:
                self._finish_picture(view, detections)
            except Exception as error:
                message = f"a picture cannot be finished: {error}"
                channel.lose("engine_error", "compose", "frame_failed", message)
            else:
                channel.all_right("compose")

    def _detected(self, views: Sequence[_View]) -> list[Sequence[Detection]]:
        """Detections of each view; those of one detector go through it together."""
        found: list[Sequence[Detection]] = [() for _ in views]
        groups: dict[int, tuple[Detector, list[int]]] = {}
        for index, view in enumerate(views):
            if view.channel.detect is not None:
                groups.setdefault(id(view.channel.detect), (view.channel.detect, []))[1].append(index)
        for detect, places in groups.values():
            try:
                days = [views[place].day for place in places]
                with self._shared.detecting:
                    results = detect(stack(days, device=device_of(detect), why="detector"))
                for place, detections in zip(places, results, strict=True):
                    found[place] = detections
                    views[place].channel.stats.count_detections([detection.label for detection in detections])
                    views[place].channel.all_right("detect")
            except Exception as error:
                for place in places:
                    views[place].channel.warn("detect", "detector_failed", f"detection failed: {error}")
        return found

    def _finish_picture(self, view: _View, detections: Sequence[Detection]) -> None:
        channel, frame = view.channel, view.frame
        if channel.background is not None:  # before anything is drawn
            channel.sample_background(frame, view.day, seen=view.seen, translated=view.translated)
        keep = channel.config.snapshot is not None
        rgb = _copy(view.day) if keep and detections and not view.translated else view.day
        if detections:
            draw_detections(rgb, detections)
        if view.translated:
            draw_mark(rgb)
        picture = Picture(frame=frame, rgb=rgb, translated=view.translated)
        for output in channel.outputs:
            if not (channel.lossless and output.put_wait(picture, cancelled=self._shared.stop)):
                output.offer(picture)
        channel.stats.count_output(translated=view.translated)
        if not channel.outputs:  # else each output counts what it has written
            channel.stats.count_latency(self._shared.clock.monotonic() - frame.decoded_at)
        if keep:
            channel.shown = (view.seen, rgb)


def _copy(rgb: Pixels) -> Pixels:
    return rgb.clone() if isinstance(rgb, Tensor) else rgb.copy()


def _translated(
    engine: Callable[[Pixels], Pixels], dark: Sequence[_Dark], device: torch.device | None
) -> list[_View]:
    """Views of the frames the engine could translate; the others are counted as dropped."""
    views = []
    results = translate(engine, [rgb for _, _, rgb in dark], device=device)
    for (channel, frame, rgb), result in zip(dark, results, strict=True):
        if isinstance(result, Exception):
            channel.lose("engine_error", "engine", "engine_failed", f"the engine failed on a frame: {result}")
        else:
            channel.all_right("engine")
            views.append(_View(channel, frame, rgb, result, translated=True))
    return views
