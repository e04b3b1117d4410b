"""The program as a process of its own, for benchmarks that look at it from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml


@contextmanager
def program(cameras: list[dict[str, Any]], folder: Path, **defaults: Any) -> Iterator[tuple[str, int]]:
    """The program with these cameras; its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = folder / "cameras.yaml"
    config = {"cameras": cameras, "defaults": defaults, "http": {"host": "127.0.0.1", "port": port}}
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", str(file), "--log-format", "json"]
    environment = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        try:
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30.0)


def wait_for_cameras(address: str, count: int, *, translated: int = 0) -> None:
    """Wait until so many cameras deliver pictures, and one so many translated ones."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(f"{address}/api/cameras", timeout=5.0) as answer:
            cameras = json.load(answer)["cameras"]
            shown = [one for one in cameras if one["translated"] + one["passed"] + one["brightened"]]
            if len(shown) >= count and any(one["translated"] >= translated for one in cameras):
                return
        time.sleep(0.3)
    raise AssertionError(f"{count} cameras do not play after 180 s")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
