"""What is published reaches the spool in order, and whoever publishes never waits for it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.events import Notice
from nightday.pipeline.monitoring.notify import outbox as outbox_module
from nightday.pipeline.monitoring.notify.message import Message
from nightday.pipeline.monitoring.notify.outbox import Outbox
from nightday.pipeline.monitoring.notify.spool import Spool
from tests.pipeline.monitoring.notify.spooled import until
from tests.support.media_helpers import Events
from tests.support.rtsp_server import WAIT


class HeldSpool(Spool):
    """A disk that hangs, or fails ``failures`` times."""

    def __init__(self, path: Path, **limits: int) -> None:
        super().__init__(path, **limits)
        self.let_go, self.asked = threading.Event(), threading.Event()
        self.let_go.set()
        self.failures = 0

    def add(self, messages: Sequence[Message]) -> int:
        self.asked.set()
        assert self.let_go.wait(WAIT)
        if self.failures:
            self.failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return super().add(messages)


def event(number: int) -> Notice:
    return Notice(name="reloaded", detail=str(number))


def written(spool: Spool) -> list[int]:
    return [int(json.loads(one.payload)["message"]) for one in spool.after(0, 10**6)]


def started(spool: Spool, told: Events, **options: Any) -> Outbox:
    spool.keep_readers(["a"])
    outbox = Outbox(spool, told=lambda: None, publish=told, clock=SystemClock(), **options)
    outbox.start()
    return outbox


def finish(outbox: Outbox) -> None:
    outbox.finish()
    outbox.join(WAIT)
    assert not outbox.is_alive()


def test_events_are_written_in_their_order(tmp_path: Path, told: Events) -> None:
    spool = HeldSpool(tmp_path / "spool.sqlite")
    outbox = started(spool, told)
    for number in range(1200):
        outbox.put(event(number))
    finish(outbox)
    assert written(spool) == list(range(1200))
    assert (outbox.lost, list(told)) == (0, [])
    spool.close()


def test_a_disk_that_hangs_holds_no_publisher_and_the_oldest_are_lost(
    tmp_path: Path, told: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MOST_WAITING", 100)
    spool = HeldSpool(tmp_path / "spool.sqlite")
    outbox = started(spool, told)
    spool.let_go.clear()
    spool.asked.clear()
    outbox.put(event(0))
    assert spool.asked.wait(WAIT)  # the writer hangs with the first event
    for number in range(1, 301):
        outbox.put(event(number))
    spool.let_go.set()
    finish(outbox)
    assert written(spool) == [0, *range(201, 301)]
    assert outbox.lost == 200
    assert [one.level for one in told] == ["warning", "info"]
    assert told[1].detail == "200 events were lost; events are kept again"
    spool.close()


def test_a_full_spool_tells_once_and_how_many_when_there_is_room(tmp_path: Path, told: Events) -> None:
    spool = HeldSpool(tmp_path / "spool.sqlite", most_messages=100)
    outbox = started(spool, told)
    for number in range(500):
        outbox.put(event(number))
        if number % 50 == 0:
            until(lambda: not outbox._waiting)
    until(lambda: outbox.lost >= 400)
    (notice,) = told
    assert (notice.name, notice.level) == ("events_lost", "warning")
    spool.acknowledge("a", 10**6)
    outbox.put(event(500))
    told.wait_for(lambda one: one.level == "info")
    assert len(told) == 2
    assert told[1].detail == f"{outbox.lost} events were lost; events are kept again"
    finish(outbox)
    spool.close()


def test_a_disk_that_fails_is_tried_again_and_loses_nothing(
    tmp_path: Path, told: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "RETRY_AFTER", 0.01)
    spool = HeldSpool(tmp_path / "spool.sqlite")
    spool.failures = 3
    outbox = started(spool, told)
    for number in range(10):
        outbox.put(event(number))
    until(lambda: len(written(spool)) == 10)
    finish(outbox)
    assert written(spool) == list(range(10))
    assert "database or disk is full" in told[0].detail
    assert told[1].detail == "no event was lost; events are kept again"
    spool.close()


def test_a_disk_that_fails_does_not_keep_it_from_ending(tmp_path: Path, told: Events) -> None:
    spool = HeldSpool(tmp_path / "spool.sqlite")
    spool.failures = 10**6
    outbox = started(spool, told)
    outbox.put(event(0))
    assert spool.asked.wait(WAIT)
    finish(outbox)
    assert outbox.lost == 1
    spool.close()
