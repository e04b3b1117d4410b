"""A relay with go2rtc's ways on a free loopback port, for tests: GStreamer's server in a process of its own."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from tests.support.rtsp_server import WAIT

SCRIPT = Path(__file__).with_name("gst_relay.py")


class Relay:
    """Plays at ``/view`` what is recorded at ``/day``; closes a publisher silent for ``patience`` seconds."""

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()

    def __enter__(self) -> Relay:
        command = ["/usr/bin/python3", str(SCRIPT), "--patience", str(self._patience)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()
        self.port = self.expect("ready")["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(WAIT)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def url(self, path: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}{path}"

    def expect(self, event: str) -> dict[str, Any]:
        """The next ``event``; others before it are forgotten."""
        while (heard := self.events.get(timeout=WAIT))["event"] != event:
            pass
        return heard

    def heard(self, event: str) -> bool:
        """Whether ``event`` is among those that nobody waited for."""
        return any(one["event"] == event for one in list(self.events.queue))

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self.events.put(json.loads(line))
        except ValueError:
            pass  # it was killed


class Viewer:
    """Watches an address, without ever connecting again, and counts the pictures with and without a mark on them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._changed = threading.Condition()
        self._marked: list[bool] = []
        self._ended = False
        threading.Thread(target=self._watch, daemon=True).start()

    def count(self, *, marked: bool) -> int:
        """Pictures that came, with or without a mark in the upper left corner."""
        return self._marked.count(marked)

    def wait_for(self, count: int, *, marked: bool) -> None:
        """Wait until ``count`` have come."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.count(marked=marked) >= count or self._ended, WAIT)
        assert came, f"{self.count(marked=marked)} of {count} pictures came"
        assert not self._ended, "its connection was closed"

    def _watch(self) -> None:
        try:
            with av.open(self._url, options={"rtsp_transport": "tcp"}, timeout=WAIT) as container:
                for frame in container.decode(video=0):
                    grey = frame.to_ndarray(format="gray")
                    with self._changed:
                        # The ground of a mark is nearly black, and with its letters it is never of one grey.
                        self._marked.append(bool(grey[:15].std() > 20))
                        self._changed.notify_all()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
