"""Looks after the cameras' own models: begins rounds, trains beside the cameras, and puts winners into service.

Rounds run in processes of their own, one at a time unless told otherwise. What is to serve stands in each camera's
``OwnFolder``. The learner asks with ``renew`` for it to be put behind the camera, which goes the way of every other
swap: prepared, on probation, and back where it fails.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..config.schema import LearningConfig
from ..core.clock import Clock
from ..core.events import BackgroundChanged, EngineChanged, Event, Notice, Publish
from ..core.fault_log import FaultLog
from ..core.faults import detail_of
from ..core.status import OwnModelStatus
from .camera_learning import CameraLearning, LearningCamera, Start, start_round

# Seconds between looks at what there is to do.
LOOK_EVERY = 10.0

# Why backgrounds are dropped where the camera shows another scene from then on.
_OTHER_SCENE = ("moved", "resolution")


class Learner:
    """Any thread may call ``note``, ``status``, ``use`` and ``stop``; the rest is done in a thread of its own.

    Args:
        renew: asks for what is to serve to be put behind the cameras; must not block.
        publish: told what happens.
        clock: time.
        start: starts the training of a round.
        has_room: whether one more may be started; by default while fewer than ``at_once`` run.
    """

    def __init__(
        self,
        *,
        renew: Callable[[], None],
        publish: Publish,
        clock: Clock,
        start: Start = start_round,
        has_room: Callable[[], bool] | None = None,
    ) -> None:
        self._renew = renew
        self._publish = publish
        self._clock = clock
        self._start_round = start
        self._has_room = has_room or self._has_room_here
        self._wanted: tuple[tuple[LearningCamera, ...], LearningConfig] = ((), LearningConfig())
        self._learning: dict[str, CameraLearning] = {}
        self._faults: dict[str, FaultLog] = {}
        self._status: dict[str, OwnModelStatus] = {}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def use(self, cameras: Sequence[LearningCamera], settings: LearningConfig) -> None:
        """Look after these from now on. Returns at once."""
        self._wanted = (tuple(cameras), settings)
        if cameras and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="learner", daemon=True)
            self._thread.start()

    def note(self, event: Event) -> None:
        """Subscribe with this: what happens to cameras decides about their models. Returns at once."""
        if self._wanted[0] and _concerns_models(event):
            self._events.put(event)

    def status(self, name: str) -> OwnModelStatus | None:
        """How a camera's own model fares; None where it is to have none."""
        return self._status.get(name)

    def stop(self) -> None:
        """End the thread, and what it trains, which goes on the next time. Returns at once; ``join`` waits."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread for so many seconds; True if it has ended."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self.look()
                self._clock.wait(self._stop, LOOK_EVERY)
        finally:
            for learning in self._learning.values():
                learning.pause()

    def look(self) -> None:
        """Do what is due."""
        self._take_up()
        self._take_events()
        for name, learning in self._learning.items():
            try:
                self._status[name] = learning.look(may_train=learning.trains or self._has_room())
                self._faults[name].end("own model")
            except OSError as error:
                self._fault(name, error)

    def _has_room_here(self) -> bool:
        return sum(one.trains for one in self._learning.values()) < self._wanted[1].at_once

    def _take_up(self) -> None:
        """Begin with the cameras that are new, and end with those that have gone."""
        cameras, settings = self._wanted
        present = {camera.name: camera for camera in cameras}
        for name, learning in list(self._learning.items()):
            if learning.camera != present.get(name):
                learning.pause()
                del self._learning[name], self._faults[name]
                self._status.pop(name, None)
        for name, camera in present.items():
            if name not in self._learning:
                self._faults[name] = FaultLog(name, self._publish)
                self._learning[name] = CameraLearning(
                    camera,
                    settings,
                    renew=self._renew,
                    publish=self._publish,
                    clock=self._clock,
                    start=self._start_round,
                )
            self._learning[name].settings = settings

    def _take_events(self) -> None:
        unheard = []
        with suppress(queue.Empty):
            while True:
                event = self._events.get_nowait()
                for name, learning in self._learning.items():
                    try:
                        _hear(learning, event)
                    except OSError as error:
                        self._fault(name, error)
                        unheard.append(event)
        # On a full disk what must not serve any more would go on serving: it is heard again the next time.
        for event in unheard:
            self._events.put(event)

    def _fault(self, name: str, error: OSError) -> None:
        text = f"its own model cannot be looked after: {detail_of(error)}"
        self._faults[name].begin("own model", "own_model_failed", text)


def _concerns_models(event: Event) -> bool:
    return _is_other_scene(event) or (isinstance(event, EngineChanged) and event.step == "rolled_back")


def _hear(learning: CameraLearning, event: Event) -> None:
    name = learning.camera.name
    if isinstance(event, EngineChanged):
        if event.step == "rolled_back" and name in event.cameras and event.model is not None:
            learning.take_back(event.model, event.detail)
    elif event.camera == name and _is_other_scene(event):
        learning.drop()


def _is_other_scene(event: Event) -> bool:
    if isinstance(event, BackgroundChanged):
        return event.step == "dropped" and event.reason in _OTHER_SCENE
    return isinstance(event, Notice) and event.name in ("collection_restarted", "model_other_scene")
