"""A run as it is seen from outside, to be set by tests: real counters, states made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightday.engines.backends.base import EngineInfo
from nightday.pipeline.core.control import Added, NewCamera, Translate
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, EventCounter, Histogram
from nightday.pipeline.core.live import LiveForm, View, Viewer
from nightday.pipeline.core.status import Background, CameraStatus, NewestPicture, Room, TrustMap
from nightday.pipeline.outputs.live.viewers import LiveViewers


@dataclass
class FakeRun:
    """A ``Watched`` whose every answer can be set. ``states`` holds what is not counted, by camera."""

    stats: dict[str, CameraStats] = field(default_factory=lambda: {"gate": CameraStats()})
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    loaded: Sequence[EngineInfo] = (EngineInfo("openvino", "bf16", "gate.pt"),)
    maps: dict[str, TrustMap | str] = field(default_factory=dict)
    pictures: dict[str, NewestPicture | None] = field(default_factory=dict)
    backgrounds: dict[tuple[str, bool], Background | None] = field(default_factory=dict)
    files: dict[str, Sequence[Path]] = field(default_factory=dict)
    reports: dict[str, Path] = field(default_factory=dict)
    live: dict[str, LiveViewers] = field(default_factory=dict)
    without_model: set[str] = field(default_factory=set)
    cannot_add: str | None = None
    added: list[NewCamera] = field(default_factory=list)
    spare: Room | None = None
    ready: bool = True
    alive: bool = True
    batches: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    events: EventCounter = field(default_factory=EventCounter)

    def cameras(self) -> Sequence[CameraStatus]:
        plain: dict[str, Any] = {"state": "playing", "reason": None, "night": None, "outputs_in_trouble": ()}
        return [
            CameraStatus(name=name, stats=stats.snapshot(), **plain | self.states.get(name, {}))
            for name, stats in self.stats.items()
        ]

    def room(self) -> Room | None:
        return self.spare

    def trust(self, name: str) -> TrustMap | str:
        return self.maps[name]

    def newest(self, name: str) -> NewestPicture | None:
        return self.pictures[name]

    def background(self, name: str, *, night: bool) -> Background | None:
        return self.backgrounds[name, night]

    def recordings(self, name: str) -> Sequence[Path]:
        return self.files[name]

    def report_folder(self, name: str) -> Path:
        return self.reports[name]

    def set_translate(self, camera: str, when: Translate) -> None:
        if camera not in self.stats:
            raise KeyError(camera)
        if camera in self.without_model:
            raise ValueError(f"{camera} runs without a model")
        self.states.setdefault(camera, {})["translate"] = when

    def adding_fault(self) -> str | None:
        return self.cannot_add

    def add_camera(self, camera: NewCamera) -> Added:
        if self.cannot_add is not None:
            raise ValueError(self.cannot_add)
        self.added.append(camera)
        return Added(Path("cameras.yaml"), Path("cameras.yaml.bak"), (Path("secrets/CAMERA_GATE"),))

    def watch(
        self, name: str, form: LiveForm, wake: Callable[[], None], *, view: View = "day", sound: bool = True
    ) -> Viewer:
        return self.live[name].watch(form, wake, view=view, sound=sound)

    def engines(self) -> Sequence[EngineInfo]:
        return self.loaded

    def engines_ready(self) -> bool:
        return self.ready

    def beating(self) -> bool:
        return self.alive
