"""The loop, while its cameras change under it."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import av
import numpy as np
from media_helpers import FakeClock
from numpy.typing import NDArray

from pipeline.config import CameraConfig
from pipeline.frame import Frame
from pipeline.line import Line
from pipeline.loop import Loop
from pipeline.slot import LatestSlot
from pipeline.stats import BATCH_BOUNDS, CameraStats, Histogram

Pixels = NDArray[np.uint8]


class Engine:
    """Keeps how many frames each call had."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, frames: Pixels) -> Pixels:
        self.batches.append(len(frames))
        return frames


def test_a_frame_taken_before_its_camera_was_replaced_goes_through_no_engine_but_its_own() -> None:
    ready = threading.Condition()
    old, new = Engine(), Engine()

    def line(name: str, engine: Engine) -> Line:
        stats = CameraStats()
        config = CameraConfig.model_validate(
            {"name": name, "url": "rtsp://10.0.0.5/s", "translate": "never"}  # needs no model
        )
        return Line(
            config=config, stats=stats, slot=LatestSlot(ready=ready, stats=stats, max_age=None), engine=engine
        )

    lines = {name: line(name, old) for name in "ab"}
    kept = lines["b"]
    loop = Loop(
        lines,
        ready=ready,
        max_batch=8,
        stop=threading.Event(),
        batches=Histogram(BATCH_BOUNDS),
        clock=FakeClock(),
    )
    for number, each in enumerate(lines.values()):
        video = av.VideoFrame(64, 48, "yuv420p")
        each.slot.put(Frame(each.name, video, number, Fraction(1, 25), float(number), 0.0))
    successor, take = line("a", new), loop.batcher.next

    def replaced(closed: threading.Event) -> Any:
        batches = take(closed)
        if batches:
            loop.add(successor)
        return batches

    loop.batcher.next = replaced  # type: ignore[method-assign]
    loop.finish()
    loop.run()
    assert loop.error is None
    assert (old.batches, new.batches) == (
        [1],
        [],
    )  # the other camera's frame; that of the old line is dropped
    assert kept.stats.snapshot().translated == 1
    assert successor.stats.snapshot().translated == 0
