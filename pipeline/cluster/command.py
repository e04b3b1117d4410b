"""``nightday-stream --ray``: the coordinator's process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..config.errors import ConfigError
from ..config.load import LoadedConfig, load_config
from ..config.schema import Config
from ..monitoring.log_stream import Screen
from ..monitoring.status_text import StatusLine
from ..supervision.commands import CommandQueue, signals
from ..supervision.outcome import Outcome
from .errors import ClusterError
from .ray_nodes import RayNodes, address_fault
from .run import ClusterRun

# Seconds that the actors of a coordinator that has ended have to go.
GONE_WITHIN = 15.0
LOOK_EVERY = 0.5


def cluster_faults(loaded: LoadedConfig, address: str) -> list[str]:
    """What is wrong with a cluster's address, and what of a configuration it cannot do, each in a line."""
    fault = address_fault(address)
    config, faults = loaded.config, [] if fault is None else [f"--ray: {fault}"]
    for key, asked in (
        ("mqtt", config.mqtt is not None),
        ("webhooks", bool(config.webhooks)),
        ("events", config.events.file is not None),
    ):
        if asked:
            faults.append(
                loaded.fault((key,), "tells nothing of the cameras of a cluster yet; leave it out with --ray")
            )
    return faults


def stream(
    address: str,
    file: str | Path,
    overrides: Sequence[str],
    commands: CommandQueue,
    screen: Screen,
    *,
    duration: float | None,
    verbose: bool = False,
) -> Outcome:
    """Run a configuration on the cluster at ``address``.

    Raises:
        ConfigError: the configuration is wrong.
        ClusterError: there is no cluster, or another coordinator has it.
        WebError: the port of ``http`` cannot be had.
    """

    def read() -> Config:
        loaded = load_config(file, overrides=overrides)
        faults = cluster_faults(loaded, address)
        if faults:
            raise ConfigError(faults)
        return loaded.config

    config = read()
    nodes = RayNodes(address, verbose=verbose)
    try:
        _wait_until_free(nodes)
        status = StatusLine(screen)
        with signals(commands):
            run = ClusterRun(nodes, config, str(file), read, commands)
            return run.run(
                duration=duration,
                report=lambda cameras, seconds: status.report(cameras, seconds=seconds),
                report_every=status.every,
            )
    finally:
        nodes.close()


def _wait_until_free(nodes: RayNodes) -> None:
    """Wait for the actors of a coordinator that has just ended to go. Raises ClusterError if they stay."""
    deadline = time.monotonic() + GONE_WITHIN
    while nodes.taken():
        if time.monotonic() > deadline:
            raise ClusterError(
                "--ray: another nightday-stream has this cluster; end that one, or reload it with SIGHUP"
            )
        time.sleep(LOOK_EVERY)
