"""All cameras of a run, and how a new configuration changes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..config.schema import CameraConfig
from ..core.clock import Clock
from ..core.events import Publish
from ..core.words import counted
from ..serving.setup import Setup
from ..translation.channel import Channel
from ..translation.pending_engine import PendingEngine
from ..translation.worker_pool import WorkerPool
from .camera import Camera
from .commands import CommandQueue
from .engine_swap import Swap, difference, engine_on_trial, find_swaps, start_swaps

# Seconds that the outputs of a changed camera have before its successor starts beside them.
CHANGE_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Change:
    """What a new configuration changed, in numbers of cameras."""

    changed: int
    added: int
    removed: int
    untouched: int
    swapped: int

    def __str__(self) -> str:
        text = f"{counted(self.changed, 'camera')} changed, {self.added} added, {self.removed} removed, "
        text += f"{self.untouched} untouched"
        return text + (f", {self.swapped} given another engine" if self.swapped else "")


class Cameras:
    """The cameras of a run, in the configuration's order. The methods are for the runtime's thread.

    It does not keep the setup: engines belong to the channels alone, so that one swapped out is freed.

    Args:
        setup: what to run.
        ready: the condition all slots share.
        commands: the runtime's.
        publish: told what happens to them.
        clock: time.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        ready: threading.Condition,
        commands: CommandQueue,
        publish: Publish,
        clock: Clock,
    ) -> None:
        self._ready = ready
        self._commands = commands
        self._publish = publish
        self._clock = clock
        self._retired: list[Camera] = []
        self._reuse = setup.config.engine.reuse
        self._cameras: dict[str, Camera] = {}
        self._cameras = {config.name: self._camera(config, setup) for config in setup.config.cameras}

    def __iter__(self) -> Iterator[Camera]:
        """The present cameras."""
        return iter(list(self._cameras.values()))

    def __getitem__(self, name: str) -> Camera:
        """The present camera of a name. KeyError if there is none."""
        return self._cameras[name]

    @property
    def with_retired(self) -> list[Camera]:
        """The present cameras, and those before them whose threads have not ended yet."""
        return [*self._cameras.values(), *self._retired]

    def written(self) -> dict[str, int | None]:
        """The epochs of the leases under which cameras may still be written, by name.

        A camera that was taken out is among them until its outputs have ended.
        """
        ending = {
            one.name: one.lease.epoch
            for one in list(self._retired)
            if any(output.is_alive() for output in one.channel.outputs)
        }
        return ending | {name: camera.lease.epoch for name, camera in self._cameras.items()}

    def channels(self) -> dict[str, Channel]:
        """Their channels, by name."""
        return {name: camera.channel for name, camera in self._cameras.items()}

    def start(self) -> None:
        """Open every source that waits for no engine."""
        for camera in self:
            if not camera.waits:
                camera.start()

    def finish_outputs(self) -> None:
        """Have the outputs write what they hold, and end. Returns at once."""
        for camera in self.with_retired:
            camera.finish_outputs()

    def finish_pictures(self) -> None:
        """No worker works any more: complete what is kept of the pictures."""
        for camera in self:
            camera.channel.pictures.finish()

    def swaps(self, setup: Setup) -> list[Swap]:
        """The engines that ``setup`` puts in the place of others."""
        return find_swaps(self._cameras, setup)

    def change(self, setup: Setup, pool: WorkerPool, save: Callable[[Sequence[Camera]], object]) -> Change:
        """Put ``setup`` in place of what runs. Cameras it says nothing new of are not touched.

        Those with another engine and nothing else go on with that.

        Args:
            setup: what is to run.
            pool: the workers.
            save: writes the pictures of cameras that end, with which their successors begin.
        """
        before, swaps = self._cameras, self.swaps(setup)
        kept = {
            config.name
            for config in setup.config.cameras
            if config.name in before and difference(before[config.name], config, setup) != "more"
        }
        start_swaps(
            swaps,
            cameras=list(before.values()),
            pool=pool,
            clock=self._clock,
            commands=self._commands,
            publish=self._publish,
            # Running the generator everywhere takes longer, and that is what was asked for.
            may_be_slower=(self._reuse, setup.config.engine.reuse) == ("auto", "off"),
        )
        self._reuse = setup.config.engine.reuse
        gone = [camera for name, camera in before.items() if name not in kept]
        for camera in gone:
            camera.stop_reading()
            pool.remove(camera.name)
            camera.finish_outputs()
        deadline = self._clock.monotonic() + CHANGE_WITHIN
        self._retired = [camera for camera in [*self._retired, *gone] if not camera.join(deadline)]
        save(gone)
        self._cameras = {
            config.name: before[config.name]
            if config.name in kept
            else self._camera(config, setup, before.get(config.name))
            for config in setup.config.cameras
        }
        pool.batcher.max_batch = setup.config.engine.max_batch
        for name, camera in self._cameras.items():
            if name not in kept:
                pool.add(camera.channel)
                if not (camera.waits and isinstance(camera.channel.engine, PendingEngine)):
                    camera.start()
            else:  # what was set under way holds until now
                camera.channel.set_translate(camera.config.translate)
        for camera, _ in (one for swap in swaps for one in swap.cameras):
            camera.start()  # it may have waited for its engine
        swapped = sum(len(swap.cameras) for swap in swaps)
        removed = len(before.keys() - self._cameras.keys())
        return Change(
            changed=len(gone) - removed,
            added=len(self._cameras.keys() - before.keys()),
            removed=removed,
            untouched=len(kept) - swapped,
            swapped=swapped,
        )

    def _camera(self, config: CameraConfig, setup: Setup, before: Camera | None = None) -> Camera:
        engine = engine_on_trial(self._cameras.values(), config, setup.engine_of(config))
        return Camera(
            config,
            engine=engine,
            detector=setup.detector_of(config),
            ready=self._ready,
            commands=self._commands,
            publish=self._publish,
            clock=self._clock,
            stats=before.channel.stats if before else None,
            lease=setup.lease_of(config.name),
        )
