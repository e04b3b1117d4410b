"""Everything that belongs to one camera between its reader and its outputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nightday.engines.detection.detections import Detection
from nightday.engines.device_copies import Pixels, on_host

from ..config.schema import CameraConfig
from ..core.camera_url import redact
from ..core.counters import CameraStats, DropReason
from ..core.events import Event, OutputChanged
from ..core.faults import detail_of
from ..core.frame import Frame
from ..core.png import save_png
from ..outputs.output import Output
from ..scene.background import Background
from ..scene.night_gate import NightGate
from ..scene.training_pictures import TrainingPictures
from ..sources.latest_slot import LatestSlot
from .engine_call import Translate

log = logging.getLogger(__name__)

Detector = Callable[[Any], Sequence[Sequence[Detection]]]
"""What a detector does: uint8 RGB (N, H, W, 3) to what is on each picture; with a ``device`` tensors, too."""


@dataclass(slots=True, eq=False)
class Channel:
    """One camera's line through the loop.

    One worker of the loop at a time calls ``wants_translation`` and ``lose`` and sets ``size`` and ``shown``; any
    thread may save.

    Attributes:
        config: what the user asked for.
        stats: its counters.
        slot: where its reader puts frames.
        engine: its generator, or None where nothing is translated; ``Loop.swap`` changes it under way.
        detect: its detector, if any.
        gate: tells night from day where ``translate`` is ``night``.
        background: the rolling median, if any.
        collection: its pictures kept for training, if any are.
        outputs: where its pictures go.
        troubles: what is wrong with outputs, by their names with secrets masked.
        size: (height, width) of its last frame.
        lost: why the last frame that got lost on the way did, or "".
        shown: the last frame as the camera saw it and as it is shown, (H, W, 3) each; kept for the snapshot.
    """

    config: CameraConfig
    stats: CameraStats
    slot: LatestSlot
    engine: Translate | None = None
    detect: Detector | None = None
    gate: NightGate | None = None
    background: Background | None = None
    collection: TrainingPictures | None = None
    outputs: list[Output] = field(default_factory=list)
    troubles: dict[str, OutputChanged] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    lost: str = ""
    shown: tuple[Pixels, Pixels] | None = None
    _saved: object = None
    _faults: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.config.name

    @property
    def stays_on_gpu(self) -> bool:
        """Whether its frames are kept on the GPU while they are translated there."""
        return self.config.frames == "auto"

    @property
    def lossless(self) -> bool:
        """Whether no picture may be lost on the way out: a file at ``pace: fast``.

        The price is waiting, for which all cameras pay: a worker of the loop goes no faster than this line's outputs.
        """
        return self.config.url.is_file and self.config.pace == "fast"

    def wants_translation(self, frame: Frame) -> bool:
        """Whether ``frame`` is to be translated. By the camera's own clock, so that a fast file counts alike."""
        if self.engine is None:
            return False
        if self.gate is None:
            return True
        before = self.gate.night
        night = self.gate.decide(frame.video, now=float(frame.pts * frame.time_base))
        if night is not before and self.gate.light is not None:
            log.info(
                "%s: %s (luma %.0f, colour %.1f)", self.name, "night" if night else "day",
                self.gate.light.luma, self.gate.light.chroma,
                extra={"event": "night_began" if night else "day_began", "camera": self.name},
            )  # fmt: skip
        return night

    def sample_background(self, frame: Frame, day: Pixels, *, seen: Pixels, translated: bool) -> None:
        """Show the background a day view and what the camera saw, (H, W, 3) each, before anything is drawn.

        A camera's own picture that is shown by night, for whatever reason, is none of the day's.
        """
        own = self.engine is None or (self.gate is not None and self.gate.night is False)
        if self.background is not None and (translated or own):
            seconds = float(frame.pts * frame.time_base)
            self.background.observe(day, seen=seen, translated=translated, seconds=seconds)

    def collect(self, frame: Frame, seen: Pixels) -> None:
        """Show the collection a frame as the camera saw it, (H, W, 3), before anything is drawn."""
        if self.collection is None:
            return
        try:
            self.collection.offer(frame, seen)
            self.all_right("collect")
        except Exception as error:  # the frame itself goes on
            self.warn("collect", "collect_failed", f"a frame cannot be collected: {detail_of(error)}")

    def output_changed(self, event: Event) -> None:
        """Keep what is wrong with an output until it writes again; its closing alone puts nothing right."""
        if not isinstance(event, OutputChanged):
            return
        if event.reason is not None:
            self.troubles[event.output] = event
        elif event.state == "writing":
            self.troubles.pop(event.output, None)

    def save_pictures(self, *, final: bool = False) -> list[Path]:
        """Write the snapshot and the background where there is a new one; failures are logged, not raised.

        So is the collected picture that waits, if one does, and now and then, and if this is the ``final`` time, the
        background's checkpoint. Returns the pictures written, for a collected one the collection's folder.
        """
        written: list[Path] = []
        background = self.config.background
        for path, save in (
            (self.config.snapshot, self._save_snapshot),
            (background.save if background else None, self._save_background),
        ):
            if path is None:
                continue
            try:
                if save():
                    written.append(path)
                self.all_right(f"save {path}")
            except Exception as error:  # whatever is wrong with one picture, the others are saved
                self.warn(f"save {path}", "save_failed", f"cannot write {path}: {detail_of(error)}")
        if self.collection is not None:
            folder = self.collection.folder
            try:
                if self.collection.write():
                    written.append(folder)
                    self.all_right("write collected")
            except Exception as error:
                message = f"cannot collect pictures in {folder}: {detail_of(error)}"
                self.warn("write collected", "collect_failed", message)
        if self.background is not None:
            try:
                if self.background.checkpoint(final=final):
                    self.all_right("checkpoint")
            except Exception as error:
                path = self.background.checkpoint_path
                self.warn("checkpoint", "save_failed", f"cannot write {path}: {detail_of(error)}")
        return written

    def lose(self, reason: DropReason, fault: str, event: str, message: str) -> None:
        """Count a frame as lost and ``warn``."""
        self.stats.count_dropped(reason)
        self.lost = redact(" ".join(message.split()))
        self.warn(fault, event, message)

    def warn(self, fault: str, event: str, message: str) -> None:
        """Log a fault when it begins, not each time it shows; ``all_right`` ends it."""
        if fault not in self._faults:
            self._faults.add(fault)
            text = redact(" ".join(message.split()))
            log.warning("%s: %s", self.name, text, extra={"event": event, "camera": self.name})

    def all_right(self, fault: str) -> None:
        """Say that a fault is over, so that its next time is logged again."""
        self._faults.discard(fault)

    def _save_snapshot(self) -> bool:
        shown = self.shown
        if self.config.snapshot is None or shown is None or shown is self._saved:
            return False
        save_png(self.config.snapshot, np.hstack([on_host(rgb, "snapshot") for rgb in shown]))
        self._saved = shown
        return True

    def _save_background(self) -> bool:
        return self.background is not None and self.background.save()
