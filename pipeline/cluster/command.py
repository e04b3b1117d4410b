"""``nightday-stream --ray``: the coordinator's process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..config.errors import ConfigError
from ..config.load import load_config
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

    fault = address_fault(address)
    if fault is not None:
        raise ConfigError([f"--ray: {fault}"])

    def read() -> Config:
        return load_config(file, overrides=overrides).config

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
