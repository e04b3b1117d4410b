"""The process of a node, as Ray starts it. Nothing that takes long is imported before it is there."""

from __future__ import annotations

import os
import sys

from .messages import Beat, Report


class NodeActor:
    """Runs a node's cameras for the coordinator. Ray makes one on each node, and several threads of its call it.

    Args:
        name: what the coordinator calls this node.
        verbose: log more.
    """

    def __init__(self, name: str, verbose: bool) -> None:
        # Ray allows a process that reserves no processors one thread. A node's cameras may have all.
        os.environ.pop("OMP_NUM_THREADS", None)
        from nightday.engines import cores

        cores.limit_libraries()
        from ..core.clock import SystemClock
        from ..core.state_folder import state_folder
        from ..monitoring.log_stream import Screen, set_up_logging
        from ..serving.model_loader import ModelLoader
        from .fence import Fence
        from .happenings import Happenings
        from .node import NodeRunner

        set_up_logging(Screen(sys.stderr, log_format="text"), verbose=verbose)
        models = ModelLoader()
        self._runner = NodeRunner(
            load=models.begin,
            build=lambda loaded, sizes: models.setup(loaded, sizes=sizes),
            fence=Fence(),
            happenings=Happenings(SystemClock(), folder=state_folder() / "node_events", node=name),
        )

    def beat(self, beat: Beat) -> Report:
        """See ``NodeRunner``."""
        return self._runner.beat(beat)

    def drain(self) -> Report:
        """See ``NodeRunner``."""
        return self._runner.drain()
