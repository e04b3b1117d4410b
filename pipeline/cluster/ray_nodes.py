"""The nodes of a Ray cluster, and the actor on each of them. Ray is imported here alone, and only when asked for."""

from __future__ import annotations

import logging
import os
import re
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nightday.engines import cores

from .errors import ClusterError
from .messages import Beat, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

EXTRA = "cluster"
NAMESPACE = "nightday-stream"
"""Where the actors' names are; there is one for each node, so a cluster has one coordinator."""
# Bytes of Ray's shared memory, of which frames need nothing. Ray would take 30 % of the machine's memory.
OBJECT_STORE = 100 * 1024 * 1024
# How soon Ray's head takes a node for dead: 1 s between questions, 3 of them. By default it takes 75 s. Actors run
# with the usual priority; by default Ray runs them at nice 15. And a node may take long to start on a busy machine;
# by default it aborts where a Python process of its own is not there within 20 s.
SYSTEM_CONFIG = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
    "agent_register_timeout_ms": 120_000,
    "worker_niceness": 0,
}
# Seconds between looks at which nodes there are.
LOOK_EVERY = 1.0
# Calls that an actor answers at a time: beats, while it drains.
AT_ONCE = 4
_ADDRESS = re.compile(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class RayNode:
    """A machine of the cluster, or a part of one.

    Attributes:
        id: Ray's own name for it.
        name: what people call it; unique in the cluster.
        address: its IP address.
        cpus: processors that Ray may use there.
        gpu: whether it has a GPU.
    """

    id: str
    name: str
    address: str
    cpus: float
    gpu: bool


def address_fault(address: str) -> str | None:
    """What is wrong with where a cluster is said to be; None if nothing is."""
    if address in ("auto", "local") or _ADDRESS.fullmatch(address):
        return None
    if address.startswith("ray://"):
        return "Ray Client is not supported; run this on a machine of the cluster, with --ray auto"
    return f"{address!r} is none of auto, local, and the address of a cluster's head such as 10.0.0.1:6379"


class RayNodes:
    """The cluster at ``address``. Raises ClusterError if there is none.

    Args:
        address: ``auto`` for the cluster that this machine belongs to, ``local`` to start one that ends with this
            process, or the address of its head.
        verbose: have nodes log more.
    """

    def __init__(self, address: str, *, verbose: bool = False) -> None:
        # Otherwise a call that comes after the end would join a cluster, or start one.
        os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
        try:
            import ray
        except ImportError as error:
            raise ClusterError(
                f"--ray needs Ray ({error}); install it with: pip install 'nightday-stream[{EXTRA}]'"
            ) from None
        self._ray: Any = ray
        self._verbose = verbose
        self._alive: tuple[RayNode, ...] = ()
        self._names: dict[str, str] = {}  # of each node, by Ray's own
        self.looks = 0
        """How often Ray's head has told which nodes there are."""
        self._stop = threading.Event()
        _connect(ray, address)
        from .actor import NodeActor

        self._actor = ray.remote(NodeActor)
        self._look()
        self._thread = threading.Thread(target=self._watch, name="ray-nodes", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> tuple[RayNode, ...]:
        """The nodes that Ray takes for alive and that have processors."""
        return self._alive

    def taken(self) -> bool:
        """Whether another coordinator has nodes of this cluster."""
        return bool(self._ray.util.list_named_actors())

    def start(self, node: RayNode) -> RayActor:
        """Start the actor of a node. Returns at once; what goes wrong, its first answer tells."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = self._actor.options(
            name=node.id,
            num_cpus=0,
            # Ray hides GPUs from actors that ask for none.
            num_gpus=1 if node.gpu else 0,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=AT_ONCE,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        ).remote(node.name, self._verbose)
        return RayActor(self._ray, actor)

    def train(self, node: RayNode, folder: Path, start: Path, words: Sequence[str]) -> RayTask:
        """Start the training of a round on a node; see ``train_round``. Returns at once."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from .training_task import train_round

        task = self._ray.remote(train_round).options(
            num_cpus=0,
            max_retries=0,  # elsewhere, if anything, and the coordinator says where
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        return RayTask(self._ray, task.remote(folder, start, list(words)))

    def close(self) -> None:
        """Leave the cluster; its actors end."""
        self._stop.set()
        self._thread.join(LOOK_EVERY)
        self._ray.shutdown()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            try:
                self._look()
            except Exception as error:  # the head may be away for a while
                log.debug("Ray does not tell its nodes: %s", error)

    def _look(self) -> None:
        entries = [entry for entry in self._ray.nodes() if entry["Alive"] and entry["Resources"].get("CPU")]
        names = {entry["NodeID"]: self._names.get(entry["NodeID"], "") for entry in entries}
        for entry in entries:
            # A node keeps its name, whoever comes and goes.
            if not names[entry["NodeID"]]:
                taken = entry["NodeName"] in names.values()
                suffix = f"-{entry['NodeID'][:6]}" if taken else ""
                names[entry["NodeID"]] = entry["NodeName"] + suffix
        self._names = names
        self.looks += 1
        self._alive = tuple(_node(entry, names[entry["NodeID"]]) for entry in entries)


class RayActor:
    """The actor of one node."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self._actor = actor

    def beat(self, beat: Beat) -> Future[Report]:
        """Have it take a beat. Returns at once."""
        return _asked(lambda: self._actor.beat.remote(beat))

    def drain(self) -> Future[Report]:
        """Have it end its cameras in good order. Returns at once."""
        return _asked(self._actor.drain.remote)

    def kill(self) -> None:
        """End its process, as far as it can be reached."""
        try:
            self._ray.kill(self._actor, no_restart=True)
        except Exception as error:  # it is gone
            log.debug("an actor cannot be ended: %s", error)


class RayTask:
    """A training on a node; see ``Task``."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray = ray
        self._reference = reference
        self.answer: Future[tuple[int, str]] = Future()
        reference.future().add_done_callback(self._answered)

    def cancel(self) -> None:
        """See ``Task``."""
        try:
            self._ray.cancel(self._reference)
        except Exception as error:  # it is gone
            log.debug("a training cannot be cancelled: %s", error)

    def _answered(self, told: Future[tuple[int, str]]) -> None:
        errors = self._ray.exceptions
        error = told.exception()
        if error is None:
            self.answer.set_result(told.result())
        elif isinstance(error, errors.OutOfMemoryError):
            self.answer.set_exception(MemoryError(_last_line(error)))
        elif isinstance(error, errors.RayTaskError) and isinstance(error.cause, OSError):
            self.answer.set_exception(OSError(f"{type(error.cause).__name__}: {error.cause}"))
        else:
            self.answer.set_exception(error)


def _last_line(error: BaseException) -> str:
    return ([line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1]


def _asked(ask: Callable[[], Any]) -> Future[Report]:
    """What an actor answers. Ray raises at once where it knows that the actor is gone."""
    try:
        answer: Future[Report] = ask().future()
    except Exception as error:
        answer = Future()
        answer.set_exception(error)
    return answer


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {
            "num_cpus": cores.processors(),
            "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
            "_system_config": SYSTEM_CONFIG,
        }
    # Ray reports over the network that it is used, unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # It warns of what a later version will do with GPUs.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        text = " ".join(str(error).split())
        raise ClusterError(f"--ray {address}: no cluster can be had: {text}; {_way_out(address)}") from None


def _way_out(address: str) -> str:
    if address == "local":
        return "see that /tmp and /dev/shm have room (containers: --shm-size=256m)"
    return (
        "start one with `ray start --head`, join it with `ray start --address HEAD:6379`, and set RAY_AUTH_MODE "
        "and the token alike on every machine"
    )


def _node(entry: Mapping[str, Any], name: str) -> RayNode:
    resources = entry["Resources"]
    return RayNode(
        id=entry["NodeID"],
        name=name,
        address=entry["NodeManagerAddress"],
        cpus=float(resources["CPU"]),
        gpu=resources.get("GPU", 0) >= 1,
    )
