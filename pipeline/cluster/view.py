"""A cluster as monitoring sees it: each camera with its node, and what cannot be known, said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nightday.engines.backends.base import EngineInfo

from ..core.counters import BATCH_BOUNDS, CameraStats, EventCounter, Histogram
from ..core.status import CameraStatus, OwnModelStatus
from .coordinator import Coordinator, Member

# Seconds after which a node's word counts as old.
OLD = 3.0
# Seconds without a turn of the coordinator's loop after which it hangs.
STUCK = 30.0


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node at one moment.

    Attributes:
        name: its name.
        up: whether it answers.
        cameras: how many it has.
        capacity: processors that its cameras may take.
        cost: processors that they take, as far as that was measured.
    """

    name: str
    up: bool
    cameras: int
    capacity: float
    cost: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is shown, made anew in each turn of the coordinator's loop."""

    at: float = 0.0
    cameras: tuple[CameraStatus, ...] = ()
    nodes: tuple[NodeState, ...] = ()
    addresses: dict[str, str] | None = None
    members: tuple[Member, ...] = ()
    head_up: bool = True


class ClusterView:
    """The ``RunState`` of a cluster. One thread updates it, any may look.

    Args:
        events: counts what happens at the coordinator.
        clock: the coordinator's.
        own_model: how the own model of a camera fares, that is on a node or on none.
    """

    def __init__(
        self,
        events: EventCounter,
        clock: Callable[[], float],
        own_model: Callable[[str, str | None], OwnModelStatus | None] = lambda camera, node: None,
    ) -> None:
        self._own_model = own_model
        self._own_events = events
        self._clock = clock
        self._seen = _Seen(at=clock())
        self._last: dict[str, CameraStatus] = {}

    def update(self, coordinator: Coordinator, *, now: float, head_up: bool = True) -> None:
        """Show the state of ``coordinator``, and whether Ray's head answers."""
        states = [
            replace(one, own_model=self._own_model(one.name, one.node))
            for one in (self._camera(name, coordinator, now) for name in coordinator.names)
        ]
        self._last = {state.name: state for state in states}
        costs = coordinator.costs
        nodes = []
        for name, member in coordinator.members.items():
            has = [camera for camera, held in coordinator.held.items() if held.node == name]
            up = member.report is not None and now - member.heard_at < OLD
            cost = sum(costs.get(camera, 0.0) for camera in has)
            nodes.append(NodeState(name, up, len(has), member.node.capacity, cost))
        addresses = {
            camera: its.report.address
            for camera, held in coordinator.held.items()
            if (its := coordinator.members.get(held.node)) is not None
            and its.report is not None
            and its.report.address is not None
        }
        members = tuple(coordinator.members.values())
        self._seen = _Seen(now, tuple(states), tuple(nodes), addresses, members, head_up)

    def cameras(self) -> Sequence[CameraStatus]:
        """See ``RunState``."""
        return self._seen.cameras

    def nodes(self) -> Sequence[NodeState]:
        """Each node at present."""
        return self._seen.nodes

    def head_up(self) -> bool:
        """Whether Ray's head answers."""
        return self._seen.head_up

    def address_of(self, camera: str) -> str | None:
        """Where the node of a camera is served, if that is known. KeyError if there is no such camera."""
        seen = self._seen
        if not any(one.name == camera for one in seen.cameras):
            raise KeyError(camera)
        return (seen.addresses or {}).get(camera)

    def engines(self) -> Sequence[EngineInfo]:
        """See ``RunState``."""
        return [info for one in self._seen.members if one.report is not None for info in one.report.engines]

    def engines_ready(self) -> bool:
        """See ``RunState``."""
        return all(one.report is None or one.report.engines_ready for one in self._seen.members)

    def room(self) -> None:
        """Not known of a cluster: its nodes may be of any kind."""
        return None

    def beating(self) -> bool:
        """See ``RunState``."""
        return self._clock() - self._seen.at < STUCK

    @property
    def batches(self) -> Histogram:
        """See ``RunState``."""
        whole = Histogram(BATCH_BOUNDS)
        for member in self._seen.members:
            if member.report is not None and member.report.batches is not None:
                whole.add(member.report.batches)
        return whole

    @property
    def events(self) -> EventCounter:
        """See ``RunState``."""
        whole = EventCounter()
        whole.add(self._own_events.snapshot())
        for member in self._seen.members:
            if member.report is not None:
                whole.add(member.report.events)
        return whole

    def _camera(self, name: str, coordinator: Coordinator, now: float) -> CameraStatus:
        """What is known of a camera: its node's word, or why there is none."""
        held = coordinator.held.get(name)
        last = self._last.get(name) or _unknown(name)
        if held is None:
            if name in coordinator.ended:
                return last
            return _away(last, "no_node", node=None)
        member = coordinator.members.get(held.node)
        report = None if member is None else member.report
        if member is None or report is None or now - member.heard_at > OLD:
            if name in coordinator.ended:
                return last
            return _away(last, "node_silent", node=held.node)
        if name in report.refused:
            refused = _away(last, "node_refused", node=held.node)
            return replace(refused, state="failed", refused=report.refused[name])
        told = next((one for one in report.cameras if one.name == name), None)
        if told is None or report.written.get(name) != held.epoch:
            return replace(_unknown(name), node=held.node)
        return replace(told, node=held.node)


class NodeMetrics(Collector):
    """The metrics of a cluster's nodes."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Every metric at this moment."""
        up = GaugeMetricFamily("nightday_node_up", "Whether the node answers.", labels=("node",))
        count = GaugeMetricFamily("nightday_node_cameras", "Cameras that the node has.", labels=("node",))
        capacity = GaugeMetricFamily(
            "nightday_node_capacity", "Processors that the node's cameras may take.", labels=("node",)
        )
        cost = GaugeMetricFamily(
            "nightday_node_cost", "Processors that the node's cameras take.", labels=("node",)
        )
        for node in self._view.nodes():
            up.add_metric((node.name,), float(node.up))
            count.add_metric((node.name,), float(node.cameras))
            capacity.add_metric((node.name,), node.capacity)
            cost.add_metric((node.name,), node.cost)
        where = GaugeMetricFamily("nightday_camera_node", "The node of a camera.", labels=("camera", "node"))
        for camera in self._view.cameras():
            if camera.node is not None:
                where.add_metric((camera.name, camera.node), 1.0)
        head = GaugeMetricFamily("nightday_ray_head_up", "Whether the head of the Ray cluster answers.")
        head.add_metric((), float(self._view.head_up()))
        yield from (up, count, capacity, cost, where, head)


def _unknown(name: str) -> CameraStatus:
    """A camera of which nobody has told anything yet."""
    return CameraStatus(
        name=name,
        state="starting",
        reason=None,
        night=None,
        outputs_in_trouble=(),
        stats=CameraStats().snapshot(),
    )


def _away(last: CameraStatus, reason: str, *, node: str | None) -> CameraStatus:
    """A camera of which nothing is known at present; its counters stay as they were last told."""
    return replace(
        last,
        state="retrying",
        reason=reason,
        night=None,
        light=None,
        next_try=None,
        outputs=(),
        outputs_in_trouble=(),
        stats=replace(last.stats, up=False, found=last.stats.found.out_of_sight()),
        node=node,
    )
