"""Building the engines that cameras start without, and putting them behind the cameras once they are there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from weakref import WeakSet

from nightday.engines.backends.base import Engine

from ..config.errors import ConfigError
from ..core.camera_url import redact
from ..core.clock import Clock
from ..core.events import Publish
from ..sources.file import picture_size
from ..translation.pending_engine import PendingEngine
from ..translation.warm_up import prepare
from ..translation.worker_pool import WorkerPool
from .camera import Camera
from .cameras import Cameras
from .commands import CommandQueue
from .engine_swap import Swap, start_swaps

# Seconds to wait for the first pictures of cameras, whose sizes are then compiled in the same go. A camera whose
# picture comes later has its size prepared then.
FIRST_PICTURES = 5.0
# Seconds between looks at whether they have come.
LOOK_EVERY = 0.1

Result = tuple[Sequence[Camera], Engine | str]
"""Cameras with one engine, and that engine, or why it could not be built."""


class FirstEngines:
    """Makes the cameras' engines ready, one after another, in a thread of its own.

    An engine that is there already is prepared for the sizes of files. The command ``"engine_built"`` tells of each
    that is ready or has failed; then ``finish`` is to be called.

    Args:
        stop: once set, no pictures are waited for.
        commands: the runtime's.
        publish: told what happens.
        clock: time.
    """

    def __init__(
        self, *, stop: threading.Event, commands: CommandQueue, publish: Publish, clock: Clock
    ) -> None:
        self._stop = stop
        self._commands = commands
        self._publish = publish
        self._clock = clock
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._left = 0
        self._seen: WeakSet[Camera] = WeakSet()
        self._beside = False  # whether cameras run meanwhile
        self._thread: threading.Thread | None = None

    @property
    def done(self) -> bool:
        """Whether every engine is ready or has failed, and was given to ``finish``."""
        return self._thread is not None and not self._left

    @property
    def thread_ended(self) -> bool:
        """Whether no thread of it is at work."""
        return self._thread is None or not self._thread.is_alive()

    def start(self, cameras: Cameras) -> None:
        """Begin, once the cameras that wait for nothing were opened. Returns at once."""
        self._begin(camera for camera in cameras if camera.channel.engine is not None)

    def add(self, cameras: Cameras) -> None:
        """See to those cameras that wait for an engine and were not there before. Returns at once."""
        new = [
            camera
            for camera in cameras
            if isinstance(camera.channel.engine, PendingEngine) and camera not in self._seen
        ]
        if new:
            self._begin(new)

    def _begin(self, cameras: Iterable[Camera]) -> None:
        groups: dict[int, list[Camera]] = {}
        for camera in cameras:
            groups.setdefault(id(camera.channel.engine), []).append(camera)
            self._seen.add(camera)
        self._left += len(groups)
        self._beside = any(camera.opened for camera in self._seen)
        before, work = self._thread, [*groups.values()]
        self._thread = threading.Thread(
            target=self._work, args=(work, before), name="first-engines", daemon=True
        )
        self._thread.start()

    def finish(self, cameras: Cameras, pool: WorkerPool) -> None:
        """Swap in what is ready, open the files that waited for it, and tell what failed."""
        with suppress(queue.Empty):
            while True:
                group, made = self._results.get_nowait()
                self._left -= 1
                present = [*cameras]
                # A reload may have replaced some, or given them another engine.
                self._give([camera for camera in group if camera in present], made, cameras, pool)

    def _give(self, group: Sequence[Camera], made: Engine | str, cameras: Cameras, pool: WorkerPool) -> None:
        waiting = [
            (one, one.channel.engine) for one in group if isinstance(one.channel.engine, PendingEngine)
        ]
        if isinstance(made, str):
            for camera, pending in waiting:
                pending.fault = made
                camera.go_without_engine(made)
            return
        if waiting:
            swap = Swap(waiting[0][1], made, [(camera, camera.config) for camera, _ in waiting])
            start_swaps(
                [swap],
                cameras=cameras,
                pool=pool,
                clock=self._clock,
                commands=self._commands,
                publish=self._publish,
            )
        for camera in group:
            camera.start()

    def _work(self, groups: list[list[Camera]], before: threading.Thread | None) -> None:
        if before is not None:  # engines are made one after another
            before.join()
        while groups:
            cameras = groups.pop(0)
            self._results.put((cameras, self._made(cameras)))
            self._commands.put("engine_built")

    def _made(self, cameras: Sequence[Camera]) -> Engine | str:
        engine = cameras[0].channel.engine
        assert engine is not None
        if isinstance(engine, PendingEngine):
            try:
                engine = engine.build(lambda: self._sizes(cameras) if self._beside else set())
            except ConfigError as error:
                return "; ".join(error.faults)
            except Exception as error:  # compilers raise anything
                return redact(f"{type(error).__name__}: {' '.join(str(error).split())}")
        for size in self._sizes([camera for camera in cameras if not camera.opened]):
            with suppress(Exception):  # the engine's call will say what is wrong
                prepare(engine, *size, publish=self._publish)
        return engine

    def _sizes(self, cameras: Sequence[Camera]) -> set[tuple[int, int]]:
        """The sizes (height, width) of cameras: of files that wait, and of what the others send."""
        opened = [camera for camera in cameras if camera.opened]
        deadline = self._clock.monotonic() + FIRST_PICTURES
        while not all(camera.channel.size for camera in opened) and self._clock.monotonic() < deadline:
            if self._clock.wait(self._stop, LOOK_EVERY):
                break
        sizes = {camera.channel.size for camera in opened if camera.channel.size is not None}
        for camera in cameras:
            if not camera.opened:
                with suppress(Exception):  # whatever is wrong with the file, its reader will say
                    sizes.add(picture_size(camera.config.url))
        return sizes
