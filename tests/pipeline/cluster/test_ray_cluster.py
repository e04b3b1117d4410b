"""A real Ray cluster of several nodes on this machine, some of which die or stand still."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from nightday.pipeline.cluster.ray_nodes import RayNodes
from nightday.pipeline.cluster.run import ClusterRun
from nightday.pipeline.cluster.trainings import Place, RemoteTraining, Trainings
from nightday.pipeline.config.schema import Config
from nightday.pipeline.learning.camera_learning import LOST
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from tests.support.clips import make_clip
from tests.support.media_helpers import ffmpeg_complaints
from tests.support.ray_boxes import Box, start_head

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("ray")]

# Seconds until a test gives up: each node's process imports PyTorch, all at the same time.
WAIT = 90.0
CAMERAS = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        make_clip(Path("clip.mp4"), 40)
        cluster = start_head()
        yield cluster
        cluster.shutdown()


class Running:
    """The coordinator in a thread."""

    def __init__(self, nodes: RayNodes) -> None:
        entries = [{"name": name, "outputs": [f"out/{name}/%Y.mp4"]} for name in CAMERAS]
        plain = {"url": "clip.mp4", "loop": True, "translate": "never"}
        told = {"file": "events.jsonl"}
        config = Config.model_validate({"cameras": [plain | entry for entry in entries], "events": told})
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


def _told_once(first: dict[str, str], last: str) -> None:
    """Each camera began on its first node and ended on the last one, and all of it was told once."""
    lines = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines)
    # The nodes share a machine, so what one could not tell any more, another has told.
    begun = sorted(line["path"] for line in lines if line["event"] == "file_begun")
    assert begun == sorted(str(path) for name in first for path in epochs(name).values())
    lines = [line for line in lines if "late" not in line]
    for name, node in first.items():
        own = [(line["event"], line.get("node")) for line in lines if line["camera"] == name]
        playing = [where for event, where in own if event == "camera_playing"]
        nodes = [where for at, where in enumerate(playing) if at == 0 or playing[at - 1] != where]
        assert nodes == ([node] if node == last else [node, last])
        # What the coordinator tells of a lost node; twice where a camera was given to the other one that was lost.
        told = own.count(("camera_retrying", None))
        assert told in ((1, 2) if node != last else (0,))
        assert own.count(("camera_stopped", last)) == 1
        assert own[-1][1] == last


def test_a_training_whose_node_dies_is_done_again_elsewhere(cluster: Any, tmp_path: Path) -> None:
    folder = tmp_path / "round"
    for part in ("pictures", "held"):
        for time_of_day in ("day", "night"):
            (folder / part / time_of_day).mkdir(parents=True)
            for number in range(4):
                picture = np.full((64, 64, 3), 40 * number, np.uint8)
                cv2.imwrite(str(folder / part / time_of_day / f"20260101-00000{number}Z.jpg"), picture)
    boxes = {box.name: box for box in (Box(cluster, cpus=1), Box(cluster, cpus=1))}
    nodes = RayNodes(cluster.address)
    trainings = Trainings(nodes.train, tmp_path)

    def offer(*names: str) -> None:
        places = [Place(node, 1.0) for node in nodes.alive if node.name in names]
        trainings.offer(places, threads=1, at_once=1)

    def begun() -> Path:
        """The try under way, once its process is there."""
        _until(lambda: (folder / "run").is_symlink() and (_try_of(folder) / "round.log").exists())
        return _try_of(folder)

    try:
        offer(*boxes)
        first = trainings.begin(folder, ["--steps=100000"])
        before = begun()
        assert isinstance(first, RemoteTraining)
        assert first.status() is None
        boxes[first.node.name].kill()
        _until(lambda: first.status() == LOST)
        (stays,) = boxes.keys() - {first.node.name}
        offer(stays)
        second = trainings.begin(folder, ["--steps=100000"])
        after = begun()
        assert after != before
        assert second.status() is None
        second.stop(WAIT)
        _until(lambda: not _at_work(after))
        # One that cannot be done says why.
        offer(stays)
        third = trainings.begin(folder, ["--steps=none"])
        _until(lambda: third.status() is not None)
        assert third.status() == 2
        assert "none" in third.last_words()
    finally:
        nodes.close()
        for box in boxes.values():
            box.kill()


def _try_of(folder: Path) -> Path:
    return (folder / "run").parent / (folder / "run").readlink().parent


def _at_work(folder: Path) -> bool:
    words = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return any(str(folder) in line for line in words)


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.1)


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
        _told_once(first, stays.name)
    finally:
        for box in boxes:
            box.send(signal.SIGCONT)
        running.stop()
        nodes.close()
