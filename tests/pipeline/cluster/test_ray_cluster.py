"""A real Ray cluster of several nodes on this machine, of which one dies and one stands still."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.cluster.ray_nodes import RayNodes
from nightday.pipeline.cluster.run import ClusterRun
from nightday.pipeline.config.schema import Config
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from tests.support.clips import make_clip
from tests.support.media_helpers import ffmpeg_complaints
from tests.support.ray_boxes import Box, start_head

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("ray")]

# Seconds until a test gives up: each node's process imports PyTorch, all at the same time.
WAIT = 90.0
CAMERAS = ("one", "two", "three", "four")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    make_clip(Path("clip.mp4"), 40)
    cluster = start_head()
    yield cluster
    cluster.shutdown()


class Running:
    """The coordinator in a thread."""

    def __init__(self, nodes: RayNodes) -> None:
        entries = [{"name": name, "outputs": [f"out/{name}/%Y.mp4"]} for name in CAMERAS]
        plain = {"url": "clip.mp4", "loop": True, "translate": "never"}
        config = Config.model_validate({"cameras": [plain | entry for entry in entries]})
        self._commands = CommandQueue()
        self.run = ClusterRun(nodes, config, "cameras.yaml", lambda: config, self._commands)
        self._outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self._outcome = self.run.run(duration=None)

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT
        while not true():
            assert time.monotonic() < deadline, self.where()
            assert self._thread.is_alive()
            threading.Event().wait(0.1)

    def where(self) -> dict[str, str]:
        """The node of each camera that shows pictures."""
        return {
            one.name: one.node or ""
            for one in self.run.view.cameras()
            if one.state == "playing" and one.stats.passed > 5
        }

    def stop(self) -> Outcome:
        self._commands.put("stop")
        self._thread.join(WAIT)
        assert self._outcome is not None
        return self._outcome


def epochs(name: str) -> dict[int, Path]:
    """The files of a camera by their epoch."""
    return {int(path.stem.rpartition("-e")[2]): path for path in Path("out", name).glob("*.mp4")}


def test_cameras_of_a_node_that_dies_and_of_one_that_stands_still_go_on_elsewhere(cluster: Any) -> None:
    boxes = [Box(cluster, cpus=1) for _ in range(3)]
    nodes = RayNodes(cluster.address)
    assert not nodes.taken()
    running = Running(nodes)
    try:
        running.until(lambda: len(running.where()) == len(CAMERAS))
        assert nodes.taken()  # a second coordinator would be turned away
        first = running.where()
        used = [box for box in boxes if box.name in first.values()]
        assert len(used) == 3
        dies, freezes, stays = used
        before = {name: epochs(name) for name in CAMERAS}
        dies.kill()
        freezes.send(signal.SIGSTOP)
        running.until(
            lambda: len(now := running.where()) == len(CAMERAS) and set(now.values()) == {stays.name}
        )
        frozen = [before[name] for name, node in first.items() if node == freezes.name]
        files = [path for each in frozen for path in each.values()]
        sizes = [path.stat().st_size for path in files]
        freezes.send(signal.SIGCONT)
        (seen,) = {one.stats.passed for one in running.run.view.cameras() if one.name == CAMERAS[0]}
        running.until(
            lambda: any(
                one.stats.passed > seen + 50 for one in running.run.view.cameras() if one.name == CAMERAS[0]
            )
        )
        assert sizes == [path.stat().st_size for path in files]
        outcome = running.stop()
        assert outcome.problems == ()
        for name, node in first.items():
            moved = node != stays.name
            assert len(epochs(name)) == 1 + moved
            assert max(epochs(name)) == max(before[name]) or moved
            assert not ffmpeg_complaints(epochs(name)[max(epochs(name))])
    finally:
        for box in boxes:
            box.send(signal.SIGCONT)
        running.stop()
        nodes.close()
