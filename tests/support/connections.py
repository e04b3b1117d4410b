"""What tests open a source with."""

from __future__ import annotations

import threading

from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.sources.base import ConnectionSettings
from nightday.pipeline.sources.frame_skipping import FrameSkipping


def connection_settings(*, timeout: float = 5.0) -> ConnectionSettings:
    """Settings that decode on the CPU, with counters of their own; ``timeout`` seconds to open and until a stall."""
    return ConnectionSettings(
        open_timeout=timeout,
        stall_timeout=timeout,
        nvdec=False,
        stop=threading.Event(),
        stats=CameraStats(),
        skipping=FrameSkipping(),
        clock=SystemClock(),
    )
