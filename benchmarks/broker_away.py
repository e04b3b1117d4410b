"""A broker that is away: what that costs the cameras, and what becomes of the events.

    python -m benchmarks.broker_away --away 600 --json benchmarks/results/broker_away.json

- ``away``: two cameras from the bundled clips, recorded, and a mosquitto that is stopped for ``--away`` seconds. In
  the middle of that the program is killed (SIGKILL) and started again. Every event must arrive once and in order, or
  again with its id, at a listener for whom the broker keeps everything.
- ``without``: the same cameras at the same time in a program that tells nobody anything, which is killed and started
  again as well. As many frames must be dropped, but for chance.
- ``publish``: what an event costs whoever publishes it, while the broker is away.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.events import EventBus, Notice
from nightday.pipeline.monitoring.notify.notifications import Notifications
from tests.support.mosquitto import Mosquitto
from tests.support.watched import FakeRun

CLIPS = Path(__file__).parent / "clips"
CAMERAS = {"a1_barnet": "dusk_a1_barnet.mp4", "piccadilly": "night_tfl_07450_piccadilly.mp4"}
# Seconds with the broker before it goes and after it has come back.
BEFORE, AFTER = 15.0, 30.0
# Events published at once, and one after the other with pauses.
BURST, SINGLE = 5000, 2000


def main(argv: list[str] | None = None) -> int:
    """Run all and print the figures; exit 1 if an event is missing or out of order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker_away")
    parser.add_argument("--away", type=float, default=600.0, help="seconds that the broker is away")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        figures: dict[str, Any] = {"seconds_away": args.away, "publish": _publish(work / "publish")}
        figures |= _side_by_side(work / "run", args.away)
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    events = figures["events"]
    return int(bool(events["missing"] or events["out_of_order"]))


class Program:
    """nightday-stream in a process of its own, in ``folder``."""

    def __init__(self, folder: Path, sections: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        cameras = [
            {
                "name": name,
                "url": str(CLIPS / clip),
                "loop": True,
                "translate": "never",  # four cameras that are translated would be more than two cores take
                # Files that begin and end are events.
                "outputs": [f"out/{name}-%H%M%S.mp4"],
                "segment_seconds": 2,
                "retention": {"gigabytes": 0.05},
            }
            for name, clip in CAMERAS.items()
        ]
        (folder / "cameras.yaml").write_text(yaml.safe_dump({"cameras": cameras, **sections}))
        self._log = folder / f"log-{time.monotonic_ns()}.jsonl"
        command = [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", "cameras.yaml"]
        environment = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*command, "--log-format", "json"], cwd=folder, stdout=log, env=environment
            )

    def end(self, how: signal.Signals) -> dict[str, dict[str, Any]]:
        """End it; what it said last of each camera."""
        self._process.send_signal(how)
        self._process.wait(60)
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.endswith("}")]
        told: dict[str, dict[str, Any]] = next(
            line["cameras"] for line in reversed(lines) if line["event"] in ("summary", "status")
        )
        return {name: {key: told[name][key] for key in ("decoded", "dropped")} for name in CAMERAS}


def _side_by_side(folder: Path, seconds: float) -> dict[str, Any]:
    folder.mkdir()
    broker = Mosquitto(folder, "allow_anonymous true", "max_queued_messages 0")
    broker.persistent = True
    broker.start()
    listener = _Listener(broker.port)
    mqtt = {"host": "127.0.0.1", "port": broker.port, "picture_every_s": 5}
    sections: dict[str, dict[str, Any]] = {"without": {}, "away": {"mqtt": mqtt}}

    def started() -> dict[str, Program]:
        return {name: Program(folder / name, settings) for name, settings in sections.items()}

    programs = started()
    time.sleep(BEFORE)
    broker.stop()
    time.sleep(seconds / 2)
    killed = {name: program.end(signal.SIGKILL) for name, program in programs.items()}
    programs = started()
    time.sleep(seconds / 2)
    broker.start()
    time.sleep(AFTER)
    ended = {name: program.end(signal.SIGTERM) for name, program in programs.items()}
    time.sleep(2.0)
    events = listener.close()
    broker.stop()
    figures = {name: {"until_killed": killed[name], "afterwards": ended[name]} for name in sections}
    return {**figures, "events": _judged(events)}


class _Listener:
    """Keeps every event, in the order in which they come, over restarts of the broker."""

    def __init__(self, port: int) -> None:
        self._events: list[dict[str, Any]] = []
        ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            "listener",
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=False,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = lambda _, __, message: self._events.append(json.loads(message.payload))
        self._client.on_connect = lambda client, *_: client.subscribe([("+/event", 1), ("+/+/event", 1)])
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.wait(10)

    def close(self) -> list[dict[str, Any]]:
        self._client.disconnect()
        self._client.loop_stop()
        return self._events


def _judged(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether every event came, once, in order."""
    first: dict[str, int] = {}
    for event in events:
        first.setdefault(event["id"], event["number"])
    numbers = list(first.values())
    return {
        "came": len(events),
        "different": len(numbers),
        "again_with_the_same_id": len(events) - len(numbers),
        "missing": max(numbers) - min(numbers) + 1 - len(numbers),
        "out_of_order": sum(before > after for before, after in pairwise(numbers)),
    }


def _publish(folder: Path) -> dict[str, float]:
    """Microseconds that publishing an event takes, a broker being away: the median and the 99th of 100."""
    folder.mkdir()
    bus = EventBus()
    notifications = Notifications(FakeRun(), publish=bus.publish, clock=SystemClock())
    bus.subscribe(notifications.note)
    camera = {"name": "gate", "url": "rtsp://10.0.0.5/s", "translate": "never"}
    sections = {"mqtt": {"host": "127.0.0.1", "port": 1}, "events": {"spool": str(folder / "spool.sqlite")}}
    notifications.serve(Config.model_validate({"cameras": [camera], **sections}))
    figures = {}
    for kind, count, pause in (("burst", BURST, 0.0), ("single", SINGLE, 0.002)):
        taken = []
        for number in range(count):
            before = time.perf_counter()
            bus.publish(Notice(camera="gate", name="reloaded", detail=f"event {number}"))
            taken.append(time.perf_counter() - before)
            if pause:
                time.sleep(pause)
        figures[f"{kind}_median_us"] = round(1e6 * statistics.median(taken), 1)
        figures[f"{kind}_p99_us"] = round(1e6 * statistics.quantiles(taken, n=100)[98], 1)
    notifications.close(5.0)
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
