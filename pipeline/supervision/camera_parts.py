"""Making the parts of a camera that its configuration asks for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..config.schema import CameraConfig
from ..core.clock import Clock
from ..core.counters import CameraStats
from ..core.events import OutputChanged, Publish
from ..core.fault_log import FaultLog
from ..media import gpu_video
from ..scene.background import Background
from ..scene.night_gate import NightGate
from ..scene.training_pictures import TrainingPictures
from ..sources.connection import nvdec_missing
from ..translation.camera_pictures import CameraPictures


class OutputTroubles:
    """What is wrong with a camera's outputs. Any thread may call it."""

    def __init__(self) -> None:
        self._events: dict[str, OutputChanged] = {}  # by the output's name, secrets masked

    def note(self, event: OutputChanged) -> None:
        """An output has changed. One that closes puts nothing right."""
        if event.reason is not None:
            self._events[event.output] = event
        elif event.state == "writing":
            self._events.pop(event.output, None)

    def events(self) -> list[OutputChanged]:
        """The last of each output that is in trouble."""
        return [*self._events.copy().values()]

    def texts(self) -> tuple[str, ...]:
        """The outputs that are in trouble, with the reason."""
        return tuple(f"{event.output} ({event.reason})" for event in self.events())


def pictures_of(
    config: CameraConfig,
    gate: NightGate,
    stats: CameraStats,
    faults: FaultLog,
    publish: Publish,
    clock: Clock,
    *,
    model: str,
) -> CameraPictures:
    """What is kept of a camera's pictures. ``model`` is the fingerprint of its model, "" without one."""
    background, training = None, None
    if config.background:
        background = Background(
            camera=config.name,
            frames=config.background.frames,
            every=config.background.every_s,
            path=config.background.save,
            source=str(config.url),
            model=model,
            publish=publish,
            clock=clock,
        )
        background.restore()
    if config.collect:
        training = TrainingPictures(
            camera=config.name,
            folder=config.collect.folder,
            every=config.collect.every_s,
            keep=config.collect.keep,
            gate=gate,
            stats=stats,
            publish=publish,
        )
    return CameraPictures(
        faults=faults,
        background=background,
        background_png=config.background.save if config.background else None,
        training=training,
        snapshot_png=config.snapshot,
    )


def nvdec_works(camera: str, publish: Publish) -> bool:
    """Whether the GPU can decode here; if not, that is published."""
    why = gpu_video.fault()
    if why:
        publish(nvdec_missing(camera, why))
    return not why


def fingerprint_of(model: Path | None) -> str:
    """What tells a checkpoint from another one under the same name; "" if there is none, or it cannot be read."""
    try:
        return "" if model is None else hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError:
        return ""
