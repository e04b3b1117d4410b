"""What a worker does with a batch: admit its frames, then take them through the stages."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from av.video.reformatter import VideoReformatter

from nightday.engines import device_copies
from nightday.engines.backends.base import Engine
from nightday.engines.device_copies import Pixels

from ..analysis.detect import DetectStage
from ..analysis.draw import draw_stage
from ..analysis.trust import trust_stage
from ..core.backgrounds import Backgrounds
from ..core.clock import Clock
from ..core.counters import Histogram
from ..core.frame import Frame
from ..core.stages import BatchItem, Stage
from ..media import gpu_video
from ..media.colour import to_rgb
from .batch_times import BatchTimes
from .batcher import Batcher, Taken
from .brighten import brighten_stage
from .channel import Channel
from .deliver import DeliverStage, observe_stage
from .own_backgrounds import STARTING
from .pending_engine import PendingEngine
from .translate import TranslateStage
from .warm_up import WarmUp


@dataclass(frozen=True, slots=True)
class Shared:
    """What the workers of a pool have in common.

    Attributes:
        channels: the cameras' channels by name; changed under ``ready``.
        ready: the condition their slots share.
        batcher: forms their batches.
        stop: once set, what waits is left.
        batches: counts the frames given to an engine at once.
        times: what engines take.
        warm_up: prepares engines for new sizes.
        clock: time.
        detect: the stage of the detectors.
    """

    channels: dict[str, Channel]
    ready: threading.Condition
    batcher: Batcher
    stop: threading.Event
    batches: Histogram
    times: BatchTimes
    warm_up: WarmUp
    clock: Clock
    detect: Stage = field(default_factory=DetectStage)


Group = tuple[Engine | None, list[BatchItem]]
"""Frames of a batch that go through the stages together, and the engine that translates them, if they are to be."""


class Worker:
    """Takes batches through the stages. One thread uses it.

    Args:
        shared: see ``Shared``.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._reformatter = VideoReformatter()
        deliver = DeliverStage(shared.stop, shared.clock)
        self._stages: tuple[Stage, ...] = (shared.detect, observe_stage, trust_stage, draw_stage, deliver)

    def process(self, batch: Sequence[Taken]) -> None:
        """Take a batch through the stages. A frame of a channel that is no longer among ``channels`` is dropped."""
        for engine, items in self._admitted(batch):
            stages: tuple[Stage, ...] = self._stages
            stages = (brighten_stage if engine is None else self._translate(engine), *stages)
            going_on: Sequence[BatchItem] = items
            for stage in stages:
                going_on = stage(going_on)

    def _translate(self, engine: Engine) -> TranslateStage:
        shared = self._shared
        return TranslateStage(engine, shared.times, shared.batches, shared.batcher.ran, shared.clock)

    def _admitted(self, batch: Sequence[Taken]) -> list[Group]:
        """The frames that can be worked on: first those that are shown without an engine, which wait for none."""
        with self._shared.ready:  # all engines from before a swap, or all from after it
            engines = [channel.engine for channel, _ in batch]
        passed: list[BatchItem] = []
        # A swap may have come since the batch was formed, so it may need two engines.
        dark: dict[int, Group] = {}
        for (channel, frame), engine in zip(batch, engines, strict=True):
            if self._shared.channels.get(channel.name) is not channel:  # removed or replaced since
                continue
            channel.size = frame.size
            try:
                night = channel.is_night(frame)
                brightened, backgrounds = "", channel.backgrounds  # which may become unknown at any time
                if night and engine is not None:
                    brightened = self._why_brightened(channel, engine, frame, backgrounds)
                rgb = self._colours(frame, engine.device if engine and channel.stays_on_gpu else None)
            except Exception as error:
                message = f"a frame cannot be converted to RGB: {error}"
                channel.lose("decode_error", "colour", "frame_failed", message)
                continue
            channel.faults.end("colour")
            channel.scene_watch.look(frame, rgb, channel.gate)
            channel.pictures.collect(frame, rgb)
            item = BatchItem(
                channel, frame, seen=rgb, day=rgb, backgrounds=backgrounds, brightened=brightened
            )
            if night and engine is not None and not brightened:
                dark.setdefault(id(engine), (engine, []))[1].append(item)
            else:
                passed.append(item)
        return [(None, passed), *dark.values()]

    def _why_brightened(
        self, channel: Channel, engine: Engine, frame: Frame, backgrounds: Backgrounds
    ) -> str:
        """Why a night is shown brightened, in a few words; "" where it is to be translated."""
        if isinstance(engine, PendingEngine):
            starting = engine.why
        # A file at its fastest has no frame brightened: it waits, and the others with it.
        elif channel.lossless or self._shared.warm_up.ready(engine, *frame.size):
            starting = ""
        else:  # it is prepared meanwhile
            starting = STARTING
        return channel.why_brightened(engine, frame, backgrounds, starting=starting)

    def _colours(self, frame: Frame, device: torch.device | None) -> Pixels:
        """A frame as RGB (H, W, 3) where it lies, or on ``device``, where it will be translated and encoded."""
        if gpu_video.on_gpu(frame.video):
            return gpu_video.rgb_of(frame.video)
        rgb = to_rgb(frame.video, self._reformatter)
        return rgb if device is None else device_copies.to_device(rgb, device, "decode")
