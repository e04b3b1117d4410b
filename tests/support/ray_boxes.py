"""Ray nodes on this machine that stand for machines of their own: each can be killed, stopped, pinned to a core."""

from __future__ import annotations

import contextlib
import itertools
import signal
from typing import Any

import psutil

from nightday.pipeline.cluster.ray_nodes import SYSTEM_CONFIG

MEMORY = 80 * 1024 * 1024
TRIES = 4
_numbers = itertools.count(1)


class Box:
    """One raylet with all processes that it has started.

    Args:
        cluster: from ``start_head``.
        cpus: processors that it tells Ray.
        core: the core that all its processes run on; None for any.
    """

    def __init__(self, cluster: Any, *, cpus: int, core: int | None = None) -> None:
        before = set(psutil.Process().children())
        self.name = f"box{next(_numbers)}"
        """What the coordinator calls it."""
        self._node = _added(cluster, num_cpus=cpus, object_store_memory=MEMORY, node_name=self.name)
        self._raylet = psutil.Process(self._node.all_processes["raylet"][0].process.pid)
        if core is not None:
            # Workers, which are started later, inherit it.
            for process in {*psutil.Process().children(), *self._processes()} - before:
                with contextlib.suppress(psutil.Error):
                    process.cpu_affinity([core])

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._raylet, *self._raylet.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @property
    def lives(self) -> bool:
        """Whether its raylet is there."""
        return bool(self._raylet.is_running() and self._raylet.status() != psutil.STATUS_ZOMBIE)

    def processor_seconds(self) -> float:
        """Processor time that its processes have taken so far."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the raylet and all its processes at once, as when a machine dies or stands still."""
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def kill(self) -> None:
        """End it without a word."""
        self.send(signal.SIGKILL)


def _added(cluster: Any, **settings: Any) -> Any:
    """A node more. Where the machine is busy, Ray gives up a start after 30 s."""
    for left in reversed(range(TRIES)):
        try:
            return cluster.add_node(**settings)
        except Exception:  # Ray raises no other
            if not left:
                raise
    return None


def start_head() -> Any:
    """A Ray head that runs no cameras."""
    # Tests that need none are collected without it.
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
    return Cluster(initialize_head=True, head_node_args={**head, "_system_config": SYSTEM_CONFIG})
