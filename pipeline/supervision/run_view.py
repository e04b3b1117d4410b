"""What can be seen of a run from outside, and changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from nightday.engines.backends.base import Engine, EngineInfo

from ..config.add_camera import CameraAdder
from ..core.control import Added, NewCamera, Translate
from ..core.counters import BATCH_BOUNDS, EventCounter, Histogram
from ..core.live import LiveForm, View, Viewer
from ..core.state_folder import name_of, state_folder
from ..core.status import Background, CameraStatus, NewestPicture, Room, TrustMap
from ..learning.learner import Learner
from ..translation.pending_engine import PendingEngine
from .cameras import Cameras
from .commands import CommandQueue
from .first_engines import FirstEngines
from .room_watch import RoomWatch


class RunView:
    """A run for whoever looks at it or changes it, in any thread: most of ``Watched``, and ``Controls``.

    Args:
        cameras: those of the run.
        first: makes its first engines ready.
        learner: looks after its cameras' own models.
        events: counts what happens.
        adder: adds cameras to the configuration's file; None where there is none.
        commands: where reading that again is commanded.
    """

    def __init__(
        self,
        cameras: Cameras,
        first: FirstEngines,
        learner: Learner,
        events: EventCounter,
        *,
        adder: CameraAdder | None,
        commands: CommandQueue,
    ) -> None:
        self._adder = adder
        self._wake = commands
        self._room = RoomWatch()
        self._cameras = cameras
        self._first = first
        self._learner = learner
        self.batches = Histogram(BATCH_BOUNDS)
        """Frames given to an engine at once."""
        self.events = events
        """How often each event has happened."""

    def cameras(self) -> tuple[CameraStatus, ...]:
        """Every camera's state now, in the configuration's order."""
        return tuple(
            replace(camera.status(), own_model=self._learner.status(camera.name)) for camera in self._cameras
        )

    def written(self) -> dict[str, int | None]:
        """The epochs under which cameras may still be written; see ``Cameras``."""
        return self._cameras.written()

    def room(self) -> Room | None:
        """How many more cameras the machine can take; None until that was measured."""
        return self._room.room

    def trust(self, name: str) -> TrustMap | str:
        """A camera's newest trust map, or why there is none, in a sentence. KeyError if there is no such camera."""
        channel = self._cameras[name].channel
        if channel.trust is not None:
            return channel.trust
        if channel.engine is None:
            return f"{name} is not translated, so there is no trust map"
        if not self._cameras[name].fixed:
            return f"the model of {name} was trained without a fixed camera, so that there is no trust map"
        if not channel.engine.needs_backgrounds:
            return f"the model of {name} does not tell where its pictures come from; model: auto does"
        return f"nothing of {name} has been translated yet"

    def newest(self, name: str) -> NewestPicture | None:
        """A camera's newest picture; None before its first. KeyError if there is no such camera."""
        return self._cameras[name].channel.newest

    def background(self, name: str, *, night: bool) -> Background | None:
        """What a camera sees by night, or by day, when nothing passes. KeyError if there is no such camera."""
        channel = self._cameras[name].channel
        rgb = channel.pictures.background_of("night" if night else "day")
        aspect = Fraction(1) if channel.newest is None else channel.newest.pixel_aspect
        return None if rgb is None else Background(rgb, aspect)

    def recordings(self, name: str) -> tuple[Path, ...]:
        """The templates of the files that a camera records. KeyError if there is no such camera."""
        outputs = self._cameras[name].config.outputs
        return tuple(one.to.path for one in outputs if one.to.is_file and one.to.path.suffix == ".mp4")

    def report_folder(self, name: str) -> Path:
        """Where the reports of a camera's nights are. KeyError if there is no such camera."""
        config = self._cameras[name].config
        return state_folder() / "reports" / name_of(config.name, str(config.url))

    def watch(
        self, name: str, form: LiveForm, wake: Callable[[], None], *, view: View = "day", sound: bool = True
    ) -> Viewer:
        """One viewer more of a camera, to be woken in any thread. KeyError if there is no such camera."""
        return self._cameras[name].live.watch(form, wake, view=view, sound=sound)

    def set_translate(self, camera: str, when: Translate) -> None:
        """See ``Controls``."""
        self._cameras[camera].channel.set_translate(when)

    def adding_fault(self) -> str | None:
        """See ``Controls``."""
        if self._adder is None:
            return "this run has no configuration file that could be changed"
        return self._adder.fault()

    def add_camera(self, camera: NewCamera) -> Added:
        """See ``Controls``."""
        if self._adder is None:
            raise ValueError(self.adding_fault())
        added = self._adder.add(camera)
        self._wake.put("reload")
        return added

    def engines(self) -> list[EngineInfo]:
        """The engines that serve."""
        return [engine.info for engine in self._engines() if not isinstance(engine, PendingEngine)]

    def _engines(self) -> list[Engine]:
        engines = [camera.channel.engine for camera in self._cameras]
        return list({id(one): one for one in engines if one is not None}.values())

    def sizes(self) -> dict[str, tuple[int, int]]:
        """(height, width) of the last frame of each camera that has a generator and has sent one."""
        channels = [camera.channel for camera in self._cameras]
        return {one.name: one.size for one in channels if one.size and one.engine is not None}

    def engines_ready(self) -> bool:
        """Whether every engine is there and was made ready for what was known of the cameras at the start."""
        return self._first.done and not any(isinstance(one, PendingEngine) for one in self._engines())
