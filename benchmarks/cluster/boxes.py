"""Ray nodes on this machine that stand for machines of their own: each can be killed, stopped, pinned to a core."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from ray.cluster_utils import Cluster

from nightday.pipeline.cluster.ray_nodes import SYSTEM_CONFIG

MEMORY = 80 * 1024 * 1024


class Box:
    """One raylet with all processes that it has started."""

    def __init__(self, cluster: Any, *, cpus: int, core: int | None = None) -> None:
        before = set(psutil.Process().children())
        self._node = cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY)
        self.id: str = self._node.node_id
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

    def is_called(self, name: str) -> bool:
        """Whether the coordinator calls it so."""
        return name.endswith(self.id[:6])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the raylet and all its processes at once, as when a machine dies or stands still."""
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def kill(self) -> None:
        """End it without a word."""
        self.send(signal.SIGKILL)


def start_head() -> Any:
    """A Ray head that runs no cameras."""
    head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
    return Cluster(initialize_head=True, head_node_args={**head, "_system_config": SYSTEM_CONFIG})


class Coordinator:
    """``nightday-stream --ray`` in a process of its own, in ``folder``, which holds ``cameras.yaml``."""

    def __init__(self, folder: Path, address: str, port: int) -> None:
        command = [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", "cameras.yaml"]
        self._log = open(folder / "log.jsonl", "ab")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [*command, "--ray", address, "--log-format", "json"],
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"XDG_STATE_HOME": str(folder / "state")},
        )
        self._base = f"http://127.0.0.1:{port}"

    def cameras(self) -> dict[str, dict[str, Any]]:
        """What ``/api/cameras`` says, by name; nothing while it does not answer."""
        try:
            with urlopen(f"{self._base}/api/cameras", timeout=3) as answer:
                return {one["name"]: one for one in json.load(answer)["cameras"]}
        except OSError:
            return {}

    def metrics(self) -> str:
        """What ``/metrics`` says."""
        try:
            with urlopen(f"{self._base}/metrics", timeout=3) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def wait_for(self, count: int, within: float) -> float:
        """Seconds until ``count`` cameras play. Raises TimeoutError."""
        began = time.monotonic()
        while sum(one["state"] == "playing" for one in self.cameras().values()) < count:
            if time.monotonic() - began > within or self._process.poll() is not None:
                away = {
                    name: one["remarks"][:2]
                    for name, one in self.cameras().items()
                    if one["state"] != "playing"
                }
                raise TimeoutError(f"{count} cameras do not play: {away}")
            time.sleep(0.25)
        return time.monotonic() - began

    def end(self) -> int:
        """End it in good order; its exit status. May be called again."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._log.close()
