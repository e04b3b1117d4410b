"""A real broker, and a state folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightday.pipeline.monitoring.notify.mqtt import cameras, sink
from tests.support.mosquitto import Mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    made.start()
    yield made
    made.stop(kill=True)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(cameras, "LOOK_EVERY", 0.3)
    monkeypatch.setattr(cameras, "STATE_EVERY", 0.05)
    monkeypatch.setattr(sink, "FAREWELL", 10.0)  # a busy machine decides nothing here
