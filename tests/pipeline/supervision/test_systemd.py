"""The command as a service: under systemd's protocol, told to read its configuration again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.supervision.systemd import Notifier
from tests.support.clips import make_clip
from tests.support.media_helpers import ffmpeg_complaints

ROOT = Path(__file__).parents[3]
STARTING = 60.0  # seconds a process has to import torch on a busy machine


class Service:
    """The command in a process of its own, with a socket in systemd's place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.bind(str(folder / "notify"))
        self.notifications.settimeout(STARTING)
        self.heard: list[str] = []
        self.events: list[dict[str, Any]] = []

    def write(self, **cameras: dict[str, Any]) -> None:
        entries = [
            {"name": name, "url": "clip.mp4", "loop": True, "translate": "never"} | c
            for name, c in cameras.items()
        ]
        config = {"cameras": entries, "engine": {"backend": "eager"}}  # nothing to measure or compile
        (self.folder / "cameras.yaml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Service:
        environment = {
            "PYTHONPATH": str(ROOT),
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "WATCHDOG_USEC": "400000",
        }
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "nightday.pipeline.cli",
                "--cameras",
                "cameras.yaml",
                "--log-format",
                "json",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=os.environ | environment,
        )
        self.changed = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join(STARTING)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        self.notifications.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()

    def until_notified(self, start: str) -> str:
        while True:
            self.heard.append(self.notifications.recv(4096).decode())
            if self.heard[-1].startswith(start):
                return self.heard[-1]

    def until_event(self, event: str, saying: str = "", **values: Any) -> dict[str, Any]:
        """The first line of this event and these values whose message has ``saying`` in it."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": event, **values}.items()
            return next(
                (e for e in self.events if wanted <= e.items() and saying in e.get("message", "")), None
            )

        with self.changed:
            assert self.changed.wait_for(found, STARTING), (event, saying, values, self.events)
            hit = found()
        assert hit is not None
        return hit


@pytest.fixture
def service(tmp_path: Path) -> Service:
    make_clip(tmp_path / "clip.mp4", 30)
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "gate.pt", NightToDay(GeneratorSettings(blocks=1, width=4)))
    return Service(tmp_path)


@pytest.mark.slow
def test_systemd_hears_of_its_state_and_a_hangup_reloads(service: Service) -> None:
    service.write(gate={"outputs": ["gate.mp4"]}, yard={})
    with service:
        service.until_notified("READY=1")
        service.until_notified("WATCHDOG=1")
        service.until_event("output_writing", camera="gate")

        path = service.folder / "cameras.yaml"
        good = path.read_text()
        path.write_text(good.replace("translate", "trasnlate"))
        service.process.send_signal(signal.SIGHUP)
        assert int(service.until_notified("RELOADING=1\n").split("MONOTONIC_USEC=")[1]) > 0
        service.until_notified("READY=1")
        # A line for each thing that is wrong, and each may come a moment after the one before.
        assert service.until_event("reload_refused", saying='did you mean "translate"?')["level"] == "error"
        refused = [event["message"] for event in service.events if event["event"] == "reload_refused"]
        assert all(message.startswith("not reloaded: cameras.yaml:") for message in refused)

        service.write(
            gate={"outputs": ["gate.mp4"]},
            door={"outputs": ["door.mp4"], "translate": "always", "model": "gate.pt"},
        )
        service.process.send_signal(signal.SIGHUP)
        service.until_notified("RELOADING=1\n")
        service.until_notified("READY=1")
        done = service.until_event("reloaded")
        assert "0 cameras changed, 1 added, 1 removed, 1 untouched" in done["message"]
        service.until_event("output_writing", camera="door")

        service.process.send_signal(signal.SIGTERM)
        service.until_notified("STOPPING=1")
        assert service.process.wait(STARTING) == 0
        summary = service.until_event("summary")
    assert summary["files"] == ["door.mp4", "gate.mp4"]
    for name in summary["files"]:
        assert ffmpeg_complaints(service.folder / name) == ""
    assert len([e for e in service.events if e["event"] == "camera_playing" and e["camera"] == "gate"]) == 1


def test_outside_systemd_nothing_is_sent_and_foreign_or_odd_watchdogs_are_left_alone() -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready()
    assert Notifier({}).watchdog_every is None
    assert Notifier({"WATCHDOG_USEC": "3000000"}).watchdog_every == 1.5
    assert Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_every == 1.5
    assert Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_every is None
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_every is None


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"nightday-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.settimeout(60.0)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert listener.recv(100) == b"WATCHDOG=1"


def test_a_change_of_state_waits_for_room_and_a_sign_of_life_does_not(tmp_path: Path) -> None:
    """The queue of such a socket holds ten messages or so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60.0)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(1000):
            notifier.alive()
        stopping = threading.Thread(target=notifier.stopping)
        stopping.start()
        heard = {listener.recv(100) for _ in range(2)}
        while b"STOPPING=1" not in heard:
            heard.add(listener.recv(100))
        stopping.join(60.0)
    assert heard == {b"WATCHDOG=1", b"STOPPING=1"}
