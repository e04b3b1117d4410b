"""A real MQTT broker on a free port of loopback, which can be stopped and killed, and who listens to it."""

from __future__ import annotations

import atexit
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.ports import lasting_port
from tests.support.rtsp_server import WAIT

MOSQUITTO = "/usr/sbin/mosquitto"


class Mosquitto:
    """A broker.

    Args:
        folder: for its files.
        settings: lines of its configuration besides the port.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self.port = lasting_port()
        self._config = folder / "mosquitto.conf"
        self.settings = list(settings) or ["allow_anonymous true"]
        self.persistent = False
        """Whether it keeps what it has over a stop."""
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop, kill=True)  # a test that fails leaves none behind

    def start(self) -> None:
        lines = [f"listener {self.port} 127.0.0.1", "user root", *self.settings]
        lines.append(f"persistence {str(self.persistent).lower()}")
        if self.persistent:
            lines.append(f"persistence_location {self._config.parent}/")
        self._config.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + WAIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except OSError:
                assert self._process.poll() is None, "mosquitto does not run"
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            self._process.wait(WAIT)
            self._process = None


class Listener:
    """Another client of a broker: keeps all that it is told, and publishes.

    Args:
        broker: the broker.
        topics: what to listen to.
        login: its own.
    """

    def __init__(self, broker: Mosquitto, *topics: str, login: tuple[str, str] | None = None) -> None:
        self._changed = threading.Condition()
        self.messages: list[tuple[str, bytes, bool]] = []
        """Topic, payload, and whether it was retained."""
        self._events: list[dict[str, Any]] = []
        self._read = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311, clean_session=True
        )
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.reconnect_delay_set(1, 1)
        self._topics = topics or ("#",)
        self._ready = threading.Event()
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._ready.wait(WAIT)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload), message.retain))
            self._changed.notify_all()

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT)

    def wait_for(self, holds: Callable[[list[tuple[str, bytes, bool]]], object]) -> None:
        until = time.monotonic() + WAIT
        while True:
            known = len(self.messages)
            # Without the lock, so that it is not asked anew for each of a thousand messages.
            if holds(self.messages):
                return
            with self._changed:
                came = self._changed.wait_for(partial(self._knows_more_than, known), until - time.monotonic())
            assert came, [
                (topic, payload[:200], retained) for topic, payload, retained in self.messages[-20:]
            ]

    def _knows_more_than(self, known: int) -> bool:
        return len(self.messages) > known

    def last(self, topic: str) -> bytes | None:
        with self._changed:
            return next((payload for at, payload, _ in reversed(self.messages) if at == topic), None)

    def wait_for_last(self, topic: str, holds: Callable[[bytes], object]) -> bytes:
        """Wait until the newest value of a topic is such; it."""
        self.wait_for(lambda _: (last := self.last(topic)) is not None and holds(last))
        found = self.last(topic)
        assert found is not None
        return found

    def events(self) -> list[dict[str, Any]]:
        """What came at topics of events."""
        with self._changed:
            new = self.messages[self._read :]
            self._read += len(new)
            self._events += [
                json.loads(payload) for topic, payload, _ in new if topic.split("/")[-1] == "event"
            ]
            return list(self._events)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
