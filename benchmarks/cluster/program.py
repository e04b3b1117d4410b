"""The program as it is run on a cluster, and asked how its cameras are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen


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
