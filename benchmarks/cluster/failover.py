"""Nodes that die and freeze: how long cameras are away, and whether one is ever recorded twice."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml

from tests.support.ray_boxes import Box, start_head

from .program import Coordinator
from .recordings import back_after, overlaps, recorded

NODES, CAMERAS = 3, 24
# The clip: pictures a second, seconds, size.
RATE, SECONDS, SIZE = 5, 20, (320, 180)
# Seconds between two blows, for which a frozen node stands still, and for which it is watched after that.
EVERY, FROZEN, AFTER_THAW = 30.0, 16.0, 4.0
KILLS_A_FREEZE = 3
# Seconds that a node has to come in the place of one that was killed.
NODES_BACK = 90.0
# Seconds in which all cameras have to be back.
BAR = 12.0
MAX_AGE = 1.0
_NAMES = [f"c{number:02}" for number in range(CAMERAS)]
_NODE_UP = re.compile(r"^nightday_node_up\{.*\} 1\.0$", re.MULTILINE)
_LATENCY = re.compile(r"nightday_frame_latency_seconds_(count|bucket)\{(.*)\} (\S+)")


def run(folder: Path, seconds: float, *, seed: int) -> dict[str, Any]:
    """Kill and freeze nodes in turns for ``seconds``; the figures."""
    port = _write_configuration(folder)
    cluster = start_head()
    boxes = [Box(cluster, cpus=1) for _ in range(NODES)]
    program = Coordinator(folder, cluster.address, port)
    trial = _Trial(folder, cluster, boxes, program, random.Random(seed))
    try:
        started = program.wait_for(CAMERAS, 180)
        blows = trial.run(seconds)
        status = program.end()
    finally:
        program.end()
        for box in boxes:
            box.send(signal.SIGCONT)
        cluster.shutdown()
    files = {name: recorded(folder / "out" / name) for name in _NAMES}
    for blow in blows:
        away = [back_after(files[name], blow["at"]) for name in blow["cameras"]]
        known = [one for one in away if one is not None]
        blow |= {"back_s": round(max(known), 2) if known else None, "never_back": away.count(None)}
        blow |= {"at": round(blow["at"], 2), "cameras": len(blow["cameras"])}
    both = [one for each in files.values() for one in overlaps(each)]
    backs = [blow["back_s"] for blow in blows if blow["back_s"] is not None]
    return {
        "cameras": CAMERAS,
        "nodes": NODES,
        "seconds": round(seconds),
        "seed": seed,
        "load_1_min": round(os.getloadavg()[0], 1),
        "first_all_up_s": round(started, 1),
        "kills": sum(blow["what"] == "killed" for blow in blows),
        "freezes": sum(blow["what"] == "frozen" for blow in blows),
        "back_s": {"median": round(statistics.median(backs), 2), "max": max(backs), "bar": BAR},
        "never_back": sum(blow["never_back"] for blow in blows),
        "takeovers": len(both),
        "recorded_twice": sum(one > 0 for one in both),
        "recorded_twice_s": round(sum(both), 3),
        "bytes_after_thaw": sum(blow.get("bytes_after_thaw", 0) for blow in blows),
        "pictures": trial.pictures,
        "older_than_max_age": trial.old,
        "exit_status": status,
        "blows": blows,
    }


class _Trial:
    """Deals the blows, and counts meanwhile how old pictures are."""

    def __init__(
        self, folder: Path, cluster: Any, boxes: list[Box], program: Coordinator, rng: random.Random
    ) -> None:
        self._folder = folder
        self._cluster = cluster
        self._boxes = boxes
        self._program = program
        self._rng = rng
        self.pictures = self.old = 0
        self._before: dict[str, tuple[float, float]] = {}

    def run(self, seconds: float) -> list[dict[str, Any]]:
        """A blow every ``EVERY`` seconds, or as soon after that as all nodes and cameras are there again."""
        blows: list[dict[str, Any]] = []
        began, due = time.monotonic(), time.monotonic() + EVERY / 2
        while due - began < seconds:
            self._pause(due)
            limit = time.monotonic() + NODES_BACK
            while not self._all_is_well() and time.monotonic() < limit:
                if len(self._boxes) < NODES:
                    self._add()
                self._pause(time.monotonic() + 1.0)
            due = time.monotonic() + EVERY
            if not any(one["node"] for one in self._program.cameras().values()):
                continue
            blows.append(self._blow(freezes=len(blows) % KILLS_A_FREEZE == KILLS_A_FREEZE - 1))
            print(f"{blows[-1]['what']}, {len(blows[-1]['cameras'])} cameras", flush=True)
        self._pause(due)
        return blows

    def _all_is_well(self) -> bool:
        """Whether all nodes answer and all cameras play."""
        states = [one["state"] for one in self._program.cameras().values()]
        nodes = _NODE_UP.findall(self._program.metrics())
        return len(nodes) >= NODES and states.count("playing") == CAMERAS

    def _blow(self, *, freezes: bool) -> dict[str, Any]:
        """Kill or freeze a node that has cameras."""
        nodes = {name: one["node"] or "" for name, one in self._program.cameras().items()}
        having = [box for box in self._boxes if box.name in nodes.values()]
        box = self._rng.choice(having)
        cameras = sorted(name for name, node in nodes.items() if node == box.name)
        blow = {"what": "frozen" if freezes else "killed", "at": time.time(), "cameras": cameras}
        if not freezes:
            box.kill()
            self._replace(box)
            return blow
        files = [path for name in cameras for path in (self._folder / "out" / name).glob("*.mp4")]
        box.send(signal.SIGSTOP)
        self._pause(time.monotonic() + FROZEN)
        size = sum(path.stat().st_size for path in files)
        box.send(signal.SIGCONT)
        self._pause(time.monotonic() + AFTER_THAW)
        written = sum(path.stat().st_size for path in files) - size
        if not box.lives:  # Ray ends itself where it was taken for dead, as a service manager would see
            self._replace(box)
        return blow | {"bytes_after_thaw": written}

    def _replace(self, box: Box) -> None:
        self._boxes.remove(box)
        self._add()

    def _add(self) -> None:
        """Start a node. Where that fails, as it may on a machine that is too busy, it is tried again before the next
        blow.
        """
        try:
            self._boxes.append(Box(self._cluster, cpus=1))
        except Exception as error:  # Ray raises no other
            print(f"no node could be started: {error}", flush=True)

    def _pause(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._count_ages(self._program.metrics())
            time.sleep(min(left, 2.0))

    def _count_ages(self, text: str) -> None:
        """Add the pictures written since the last look, and those that were then older than ``MAX_AGE``."""
        counts: dict[str, list[float]] = {}
        for kind, labels, value in _LATENCY.findall(text):
            named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if named["stage"] == "output" and (kind == "count" or named["le"] == str(MAX_AGE)):
                counts.setdefault(named["camera"], [0.0, 0.0])[kind == "bucket"] = float(value)
        for camera, (count, young) in counts.items():
            before = self._before.get(camera, (0.0, 0.0))
            before = before if count >= before[0] and young >= before[1] else (0.0, 0.0)
            self.pictures += int(count - before[0])
            self.old += int(count - before[0] - (young - before[1]))
            self._before[camera] = count, young


def _write_configuration(folder: Path) -> int:
    """A clip and ``cameras.yaml`` in a folder; the port of the page."""
    rng = np.random.default_rng(0)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        noise = rng.integers(0, 60, (SIZE[1], SIZE[0], 3), np.uint8)
        for number in range(RATE * SECONDS):
            picture = np.roll(noise, 4 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    cameras = [{"name": name, "outputs": [f"out/{name}/%Y%m%d-%H%M%S.mp4"]} for name in _NAMES]
    defaults = {"url": "clip.mp4", "loop": True, "translate": "never", "max_age": MAX_AGE}
    configuration = {"defaults": defaults, "cameras": cameras, "http": {"port": port}}
    (folder / "cameras.yaml").write_text(yaml.safe_dump(configuration))
    return port
