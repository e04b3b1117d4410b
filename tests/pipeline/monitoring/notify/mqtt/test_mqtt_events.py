"""Events at a real broker: in order, with ids, over restarts of the broker and of the program."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.events import CountsChanged
from nightday.pipeline.monitoring.notify.mqtt import sink as sink_module
from tests.pipeline.monitoring.notify.mqtt.home import Home
from tests.support.mosquitto import Listener, Mosquitto
from tests.support.rtsp_server import WAIT


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries come soon after one another."""
    monkeypatch.setattr(Backoff, "delay", lambda self, attempt, rng: 0.05)


def numbers(listener: Listener) -> list[int]:
    """What happened, by the number in its text."""
    return [int(one["message"]) for one in listener.events() if one["event"] == "reloaded"]


def once(listener: Listener) -> list[int]:
    """The same, each id once, as whoever may get one twice reads it."""
    seen: dict[str, int] = {}
    for one in listener.events():
        if one["event"] == "reloaded":
            seen.setdefault(one["id"], int(one["message"]))
    return list(seen.values())


def test_events_arrive_in_order_with_ids_at_their_cameras_topics(broker: Mosquitto) -> None:
    listener, home = Listener(broker), Home(broker)
    home.serve()
    home.happen(*range(300))
    home.publish(CountsChanged(camera="gate", zone="yard", counts={"car": 2}, at=5.0))
    listener.wait_for(lambda _: any(one["event"] == "counts_changed" for one in listener.events()))
    assert numbers(listener) == list(range(300))
    told = listener.events()
    assert len({one["id"] for one in told}) == len(told)
    assert [one["number"] for one in told] == sorted(one["number"] for one in told)
    topics = {topic for topic, payload, _ in listener.messages if topic.endswith("event")}
    assert topics == {"nightday/event", "nightday/gate/event"}
    assert all(not retained for topic, _, retained in listener.messages if topic.endswith("event"))
    assert home.wait_told("notify_connected") == f"events go to the MQTT broker 127.0.0.1:{broker.port}"
    home.close()
    listener.close()


def test_only_the_events_that_were_asked_for_and_under_the_prefix(broker: Mosquitto) -> None:
    listener, home = Listener(broker), Home(broker)
    home.serve(events=["counts_*"], topic_prefix="home/cams")
    home.happen("1", "2")
    home.publish(CountsChanged(camera="gate", zone=None, counts={}, at=5.0))
    home.close()
    listener.wait_for(lambda _: listener.events())
    assert [one["event"] for one in listener.events()] == ["counts_changed"]
    topics = {topic for topic, _, _ in listener.messages if not topic.startswith("homeassistant")}
    assert topics == {"home/cams/gate/event", "home/cams/gate/state", "home/cams/status"}
    listener.close()


@pytest.mark.parametrize("kill", [False, True])
def test_a_broker_that_goes_and_comes_gets_every_event_in_order(broker: Mosquitto, kill: bool) -> None:
    """And none is lost that happened meanwhile, many more than paho would have on their way."""
    listener, home = Listener(broker), Home(broker)
    home.serve()
    home.happen(*range(50))
    listener.wait_for(lambda _: len(numbers(listener)) == 50)
    broker.stop(kill=kill)
    home.wait_told("notify_failed")
    home.happen(*range(50, 2050))
    broker.start()
    # The listener is a client like any other: it has to be back before the events are.
    again = Listener(broker)
    home.wait_told("notify_connected", 2)
    home.happen(2050)
    again.wait_for(lambda _: 2050 in once(again) or 2050 in once(listener))
    home.close()
    for heard in (once(listener), once(again)):
        assert heard == sorted(heard)
    assert home.of("events_lost") == []
    assert len(home.of("notify_failed")) == 1  # said once, however often it was tried
    again.close()
    listener.close()


def test_what_happens_while_the_broker_is_away_waits_and_goes_out_once(tmp_path: Path) -> None:
    """The listener is there first: nothing but the program decides what arrives."""
    broker = Mosquitto(tmp_path)
    home = Home(broker)
    home.serve()
    home.happen(*range(3000))
    home.wait_told("notify_failed")
    # A session that the broker keeps for its listener would have kept the first 1,000 alone.
    held = Held(home)
    broker.start()
    listener = Listener(broker)
    held.release()
    listener.wait_for(lambda _: len(once(listener)) == 3000)
    assert numbers(listener) == list(range(3000))
    home.close()
    listener.close()
    broker.stop()


class Held:
    """Keeps a program from connecting until it is released, by a wrong port."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._port = home.settings["port"]
        home.serve(port=1)

    def release(self) -> None:
        self._home.serve(port=self._port)


CHILD = """
import sys, time
from pathlib import Path
from nightday.pipeline.core.backoff import Backoff
from tests.pipeline.monitoring.notify.mqtt.home import Home
from tests.support.mosquitto import Mosquitto
Backoff.delay = lambda self, attempt, rng: 0.05
broker = Mosquitto(Path(sys.argv[1]))
broker.port = int(sys.argv[2])
home = Home(broker)
home.serve()
for number in range(int(sys.argv[3]), int(sys.argv[3]) + 100_000):
    home.happen(number)
    print(number, flush=True)
    time.sleep(0.0005)
"""


def killed_child(folder: Path, broker: Mosquitto, first: int, enough: int) -> int:
    """Let a program publish from ``first`` on, and kill it; the last it is known to have published."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(broker.port), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    last = first
    for _ in range(enough):
        last = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait(WAIT)
    child.stdout.close()
    return last


def test_a_killed_program_loses_nothing_that_was_written_and_repeats_with_the_same_id(
    broker: Mosquitto, tmp_path: Path
) -> None:
    listener = Listener(broker, "nightday/#")
    killed_child(tmp_path, broker, 0, random.randint(100, 400))
    listener.wait_for_last("nightday/status", lambda payload: payload == b"offline")  # its last will
    before = len(once(listener))
    assert before > 0
    # What it had not sent goes out at the next start, before what happens then.
    home = Home(broker)
    home.serve()
    home.happen(10**6)
    listener.wait_for(lambda _: 10**6 in once(listener))
    home.close()
    *heard, last = once(listener)
    assert heard == list(range(len(heard)))
    assert last == 10**6
    assert len(heard) >= before
    twice = [one["id"] for one in listener.events()]
    repeated = len(twice) - len(set(twice))
    assert repeated <= 20  # those that were on their way
    assert listener.last("nightday/status") == b"offline"
    listener.close()


def test_broker_and_program_are_killed_in_turn_and_every_event_arrives_once_or_with_its_id(
    broker: Mosquitto, tmp_path: Path
) -> None:
    killed_child(tmp_path, broker, 0, 200)
    broker.stop(kill=True)
    killed_child(tmp_path, broker, 100_000, 200)  # nobody takes anything
    broker.start()
    listener = Listener(broker, "nightday/#")
    killed_child(tmp_path, broker, 200_000, 200)
    home = Home(broker)
    home.serve()
    home.happen(10**6)
    listener.wait_for(lambda _: 10**6 in once(listener))
    home.close()
    heard = once(listener)
    # What the first broker had before it was killed is not among it.
    assert heard == sorted(heard)
    middle = [number for number in heard if 100_000 <= number < 200_000]
    assert middle == list(range(100_000, 100_000 + len(middle)))
    assert len(middle) >= 20  # on a busy machine its last moments are long
    third = [number for number in heard if 200_000 <= number < 300_000]
    assert third == list(range(200_000, 200_000 + len(third)))
    assert all(before < after for before, after in pairwise(heard))
    listener.close()


def test_at_the_end_what_waits_is_sent_and_the_program_is_offline(broker: Mosquitto) -> None:
    listener, home = Listener(broker), Home(broker)
    home.serve()
    home.wait_told("notify_connected")
    home.happen(*range(500))
    home.close()
    listener.wait_for(lambda _: len(numbers(listener)) == 500)
    assert listener.last("nightday/status") == b"offline"
    assert home.of("notify_failed") == []
    listener.close()


def test_a_broker_that_is_away_does_not_keep_the_program_from_ending(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    home = Home(broker)
    home.serve()
    home.happen(1)
    home.wait_told("notify_failed")
    before = time.monotonic()
    home.close()
    assert time.monotonic() - before < 10  # of WAIT


def test_a_reload_moves_to_another_prefix_and_goes_on_where_it_was(broker: Mosquitto) -> None:
    listener, home = Listener(broker), Home(broker)
    home.serve()
    home.happen(*range(10))
    listener.wait_for(lambda _: len(numbers(listener)) == 10)
    home.serve(topic_prefix="other")
    home.happen(*range(10, 20))
    listener.wait_for(lambda _: len(once(listener)) == 20)
    assert once(listener) == list(range(20))
    listener.wait_for_last("nightday/gate/state", lambda payload: payload == b"")
    listener.wait_for_last("homeassistant/device/nightday-gate/config", lambda payload: payload == b"")
    listener.wait_for_last("homeassistant/device/other-gate/config", lambda payload: payload)
    assert sink_module.READER == "mqtt"
    home.close()
    listener.close()
