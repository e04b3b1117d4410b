"""The last stages: a camera keeps what it needs of its pictures, and hands them to its outputs."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..core.clock import Clock
from ..core.stages import BatchItem, each


def observe_stage(items: Sequence[BatchItem]) -> Sequence[BatchItem]:
    """The stage that shows cameras their day views before anything is drawn into them."""
    return each(items, lambda item: item.camera.observe(item), fault="background")


class DeliverStage:
    """Hands finished pictures to their cameras' outputs.

    Args:
        stop: once set, no output is waited for.
        clock: time.
    """

    def __init__(self, stop: threading.Event, clock: Clock) -> None:
        self._stop = stop
        self._clock = clock

    def __call__(self, items: Sequence[BatchItem]) -> Sequence[BatchItem]:
        """See ``Stage``."""
        return each(items, self._deliver, fault="deliver")

    def _deliver(self, item: BatchItem) -> None:
        item.camera.deliver(item, cancelled=self._stop, clock=self._clock)
