"""What the cameras of a cluster learn: the coordinator has rounds trained on nodes, and says what serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..config.schema import Config
from ..core.clock import SystemClock
from ..core.events import Notice, Publish
from ..core.status import OwnModelStatus
from ..learning.learner import Learner
from ..learning.own_models import learning_cameras, root_of, with_own_models
from .coordinator import Coordinator
from .messages import Happened, SharedFolder
from .ray_nodes import RayNode
from .shared import marked
from .trainings import Place, StartTask, Trainings

# Seconds that the last looks at rounds, and trainings that are ended, have at the end.
END_WITHIN = 4.0
# Bytes that a node must have free for a training: with 300 pictures of 1080p it takes 2.6 GB.
TRAINING_BYTES = 3_000_000_000


class ClusterLearning:
    """The methods but for ``status`` are for the coordinator's thread.

    Args:
        renew: asks for what serves to be told to the nodes anew; must not block.
        start: starts a training on a node.
        publish: told what happens.
    """

    def __init__(self, *, renew: Callable[[], None], start: StartTask, publish: Publish) -> None:
        self._publish = publish
        self._trainings = Trainings(start, Path.cwd())
        self._learner = Learner(
            renew=renew,
            publish=publish,
            clock=SystemClock(),
            start=self._trainings.begin,
            has_room=self._trainings.has_room,
        )
        self._settings = Config(cameras=()).learning
        self._shared: SharedFolder | None = None
        self._apart: dict[str, str] = {}

    def use(self, config: Config, *, anew: bool) -> tuple[Config, SharedFolder | None]:
        """The configuration as nodes are to run it, and the folder that they must see for that.

        ``anew``: have the nodes look again whether they see it.
        """
        own = with_own_models(config)
        learning = learning_cameras(own)
        self._settings = config.learning
        folder = root_of(config.learning).absolute()
        if not learning:
            self._shared = None
        elif anew or self._shared is None or self._shared.folder != folder:
            self._shared = marked(folder)
        self._learner.use(learning, config.learning)
        # The nodes run what serves, and learn nothing of themselves.
        cameras = tuple(
            camera.model_copy(update={"learn": False}) if camera.learns else camera for camera in own.cameras
        )
        return own.model_copy(update={"cameras": cameras}), self._shared

    def look(self, coordinator: Coordinator, nodes: Sequence[RayNode]) -> None:
        """See which nodes may train, and say which cannot."""
        places = []
        for node in nodes:
            member = coordinator.members.get(node.name)
            report = None if member is None or member.leaving else member.report
            why = None if report is None else report.apart
            shares = report is not None and self._shared is not None and why is None
            if shares and coordinator.begun and report is not None and report.memory >= TRAINING_BYTES:
                places.append(Place(node, coordinator.spare(node.name)))
            if why is not None and self._apart.get(node.name) != why:
                detail = f"cameras on node {node.name} learn no models of their own: {why}"
                self._publish(Notice(name="node_apart", detail=detail, level="warning"))
            self._apart = {**self._apart, node.name: why} if why else _without(self._apart, node.name)
        self._trainings.offer(places, threads=self._settings.threads, at_once=self._settings.at_once)

    def hear(self, happened: Sequence[Happened]) -> None:
        """These things have happened on a node."""
        for one in happened:
            self._learner.note(one.event)

    def status(self, camera: str, node: str | None) -> OwnModelStatus | None:
        """How the own model of a camera fares, which is on ``node`` now. Any thread may call it."""
        status = self._learner.status(camera)
        why = self._apart.get(node or "")
        if status is None or why is None:
            return status
        return replace(status, text=f"it learns nothing on this node: {why}", progress=None, seconds=None)

    def stop(self) -> None:
        """End all trainings, which go on the next time. Returns at once; ``join`` waits."""
        self._learner.stop()

    def join(self) -> bool:
        """Wait until they have ended; whether they have."""
        return self._learner.join(END_WITHIN)


def _without(values: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if key != name}
