"""What a batch goes through: a list of stages, each of which takes the batch's frames and hands them on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from nightday.engines.backends.base import EngineInfo
from nightday.engines.detection.detections import Detection
from nightday.engines.device_copies import Pixels

from .backgrounds import UNKNOWN, Backgrounds
from .clock import Clock
from .counters import CameraStats, DropReason
from .events import NoticeName
from .fault_log import FaultLog
from .found import Followed, Looking
from .frame import Frame

if TYPE_CHECKING:
    import torch


class Detector(Protocol):
    """Finds objects on pictures, for one thread at a time."""

    @property
    def device(self) -> torch.device | None:
        """The GPU on which it takes tensors; None if it takes arrays on the host only."""
        ...

    @property
    def classes(self) -> Collection[str] | None:
        """What it knows; None where it does not tell."""
        ...

    def __call__(self, rgb: Pixels) -> Sequence[Sequence[Detection]]:
        """What is on each of the uint8 RGB pictures (N, H, W, 3)."""
        ...


class StageCamera(Protocol):
    """What a stage may ask of the camera that a frame came from."""

    @property
    def name(self) -> str:
        """The camera's name."""
        ...

    @property
    def stats(self) -> CameraStats:
        """Its counters."""
        ...

    @property
    def faults(self) -> FaultLog:
        """What is wrong with it."""
        ...

    @property
    def detector(self) -> Detector | None:
        """Its detector, if it has one."""
        ...

    @property
    def looking(self) -> Looking:
        """What it asks of its detector."""
        ...

    def follow(self, item: BatchItem, faint: Sequence[Detection]) -> None:
        """Follow what was found on a picture that was looked at.

        Args:
            item: the picture, with its detections, which may get numbers.
            faint: what was found with less confidence than is shown.
        """
        ...

    @property
    def overlay(self) -> Literal["none", "trust"]:
        """What is drawn over its translated pictures."""
        ...

    @property
    def backgrounds(self) -> Backgrounds:
        """What it sees when nothing passes, by day and by night, as far as that is known."""
        ...

    def brighten(self, item: BatchItem) -> None:
        """Make a night that cannot be translated yet brighter."""
        ...

    def observe(self, item: BatchItem) -> None:
        """Show it a picture before anything is drawn into it."""
        ...

    def deliver(self, item: BatchItem, *, cancelled: threading.Event, clock: Clock) -> None:
        """Hand a finished picture to its outputs; where they lose nothing, wait for them until ``cancelled``."""
        ...

    def lose(self, reason: DropReason, fault: str, notice: NoticeName, detail: str) -> None:
        """Count one of its frames as dropped and begin ``fault``."""
        ...


@dataclass(slots=True, eq=False)
class BatchItem:
    """A frame of a batch on its way through the stages.

    Attributes:
        camera: where it came from.
        frame: the frame.
        seen: uint8 (H, W, 3) RGB as the camera saw it.
        day: the same as it will be shown; until it is translated, ``seen`` itself.
        translated: whether the generator made ``day``.
        backgrounds: the camera's own, as they were when the frame was taken, where its engine needs them.
        brightened: why ``day`` is ``seen`` made brighter, in a few words; "" where it is not.
        trust: where each part of ``day`` comes from, uint8 (h, w, 3) shares of 255: drawn from tonight's light,
            remembered from the day, unclear; None where the engine does not tell.
        detections: what was found on it.
        followed: what else is known of what is on it; None where nothing is followed.
        made_by: the engine that made ``day``, where one did.
    """

    camera: StageCamera
    frame: Frame
    seen: Pixels
    day: Pixels
    translated: bool = False
    backgrounds: Backgrounds = UNKNOWN
    brightened: str = ""
    trust: Pixels | None = None
    detections: Sequence[Detection] = ()
    followed: Followed | None = None
    made_by: EngineInfo | None = None


Stage = Callable[[Sequence[BatchItem]], Sequence[BatchItem]]
"""Works on frames of one batch and returns those that go on to the next stage.

It does not raise for the sake of one frame: that is lost at its camera, and the others go on.
"""


def each(items: Sequence[BatchItem], work: Callable[[BatchItem], None], *, fault: str) -> list[BatchItem]:
    """Do ``work`` on each item; those on which it raises are lost to ``fault``, and the others are returned."""
    done = []
    for item in items:
        try:
            work(item)
        except Exception as error:
            detail = f"a picture cannot be finished: {error}"
            item.camera.lose("engine_error", fault, "frame_failed", detail)
        else:
            item.camera.faults.end(fault)
            done.append(item)
    return done
