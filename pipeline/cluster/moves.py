"""Tells where the cameras of a cluster go."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.events import Notice, Publish, SourceChanged
from .coordinator import Coordinator


class Moves:
    """For one thread. ``publish`` is told."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._placed: Mapping[str, str] = {}
        self._crowded = False

    def tell_gone(self, node: str, coordinator: Coordinator) -> None:
        """Say of each camera of a node that is gone that it is away; the node itself could not."""
        for camera, has in self._placed.items():
            if has == node and camera not in coordinator.ended:
                gone = f"node {node} is gone"
                self._publish(SourceChanged(camera=camera, state="retrying", reason="no_node", detail=gone))

    def tell(self, coordinator: Coordinator) -> None:
        """Say which cameras were refused since the last time, which were given to which node, and whether all have
        room.
        """
        for one in coordinator.refusals.news:
            so = "translate it" if one.brightened else "run it"
            detail = f"node {one.node} cannot {so}: {one.why}"
            self._publish(Notice(camera=one.camera, name="camera_refused", detail=detail, level="warning"))
        coordinator.refusals.news.clear()
        placed = {camera: held.node for camera, held in coordinator.held.items()}
        if placed != self._placed:
            for camera, node in placed.items():
                if self._placed.get(camera) != node:
                    detail = f"given to node {node}"
                    self._publish(Notice(camera=camera, name="camera_placed", detail=detail))
            self._placed = placed
        if coordinator.crowded != self._crowded:
            self._crowded = coordinator.crowded
            if self._crowded:
                detail = "the cameras take more than all nodes have, so they slow down; add a node"
                self._publish(Notice(name="cluster_full", detail=detail, level="warning"))
