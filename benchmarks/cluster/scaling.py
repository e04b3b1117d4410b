"""What a second node is worth: translated frames of one node and of two, each pinned to a core."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import yaml

from tests.support.ray_boxes import Box, start_head

from .program import Coordinator

CLIP = Path(__file__).parent.parent / "clips" / "night_a1_barnet_simulated.mp4"
MODEL = Path(__file__).parents[2] / "weights" / "a1_barnet.pt"
CAMERAS = 6
# Seconds until every node's engine serves, and over which frames are counted.
SETTLE, COUNT = 60.0, 40.0
BAR = 1.9


def run(folder: Path) -> dict[str, Any]:
    """Frames a second of one node and of two; the figures."""
    rates = {count: _rate(folder / str(count), count) for count in (1, 2)}
    ratio = rates[2]["frames_per_s"] / rates[1]["frames_per_s"]
    efficiency = rates[2]["frames_per_processor_s"] / rates[1]["frames_per_processor_s"]
    return {
        "one": rates[1],
        "two": rates[2],
        "ratio": round(ratio, 3),
        # What it would be if each node had its core for itself.
        "ratio_by_processor_time": round(2 * efficiency, 3),
        "bar": BAR,
    }


def _rate(folder: Path, nodes: int) -> dict[str, Any]:
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    cameras = [{"name": f"c{number}", "outputs": []} for number in range(CAMERAS)]
    defaults = {
        "url": str(CLIP),
        "loop": True,
        "translate": "always",
        "model": str(MODEL),
        "snapshot": "out/{name}.png",
    }
    configuration = {
        "defaults": defaults,
        "cameras": cameras,
        "engine": {"reuse": "off"},
        "http": {"port": port},
    }
    (folder / "cameras.yaml").write_text(yaml.safe_dump(configuration))
    cluster = start_head()
    boxes = [Box(cluster, cpus=1, core=core) for core in range(nodes)]
    program = Coordinator(folder, cluster.address, port)
    try:
        program.wait_for(CAMERAS, 180)
        _wait_for_engines(program)
        load, used = os.getloadavg()[0], sum(box.processor_seconds() for box in boxes)
        before, began = _translated(program), time.monotonic()
        time.sleep(COUNT)
        after, seconds = _translated(program), time.monotonic() - began
        used = sum(box.processor_seconds() for box in boxes) - used
        on = sorted({one["node"] for one in program.cameras().values()})
    finally:
        program.end()
        cluster.shutdown()
    return {
        "frames_per_s": round((after - before) / seconds, 2),
        "frames_per_processor_s": round((after - before) / used, 2),
        "processor_share": round(used / seconds / nodes, 3),
        "nodes_with_cameras": len(on),
        "load_1_min": [round(load, 1), round(os.getloadavg()[0], 1)],
    }


def _wait_for_engines(program: Coordinator) -> None:
    deadline = time.monotonic() + SETTLE * 3
    while any(one["engine"] != "ready" for one in program.cameras().values()):
        if time.monotonic() > deadline:
            raise TimeoutError("the engines are not ready")
        time.sleep(1.0)
    time.sleep(5.0)


def _translated(program: Coordinator) -> int:
    return sum(one["translated"] for one in program.cameras().values())
