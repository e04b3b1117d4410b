"""Whether a real Home Assistant takes what it is told of the cameras.

    python3.13 -m venv /tmp/ha && /tmp/ha/bin/pip install homeassistant==2025.4.4 paho-mqtt==2.1.0
    python -m benchmarks.home_assistant --python /tmp/ha/bin/python

It starts mosquitto, a run with two cameras whose state is made up (real counters, real sink), and Home Assistant's
core with its MQTT integration alone. Every entity must be there with its state, the picture be the camera's, the
switch switch, a camera that is taken away go, and all be unavailable once the run was killed. No line of Home
Assistant's log may complain.

With ``--streams 120`` its `stream` integration plays live streams and a restream instead, for so many seconds, with
sound and without, and ffmpeg plays the HLS that it gives out. It needs what that integration asks for, too:

    /tmp/ha/bin/pip install av==13.1.0 numpy==2.2.2 PyTurboJPEG==1.7.5
    python -m benchmarks.home_assistant --python /tmp/ha/bin/python --streams 120
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.home_assistant.streams import watched
from tests.support.mosquitto import Mosquitto
from tests.support.ports import lasting_port

HERE = Path(__file__).parent
# What is about the machine and not about what it was told.
_OF_THE_MACHINE = ("turbojpeg", "zlib")
# What is expected, by entity; counts as ``run.py`` makes them up.
EXPECTED = {
    "binary_sensor.gate_connected": "on",
    "binary_sensor.gate_model_of_another_scene": "unknown",
    "binary_sensor.gate_moved_or_refocused": "off",
    "binary_sensor.gate_night": "on",
    "camera.gate": "idle",
    "select.gate_translate": "night",
    "sensor.gate_car": "3",
    "sensor.gate_car_in_yard": "2",
    "sensor.gate_latency": "40",
    "sensor.gate_light": "dark",
}


def main(argv: list[str] | None = None) -> int:
    """Run it and print what was found; exit 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.home_assistant")
    parser.add_argument("--python", required=True, help="a Python that has homeassistant")
    parser.add_argument("--streams", type=int, metavar="SECONDS", help="have it play live streams")
    args = parser.parse_args(argv)
    if args.streams:
        return _streams(args.python, args.streams)
    with tempfile.TemporaryDirectory() as folder:
        found = _run(Path(folder), args.python)
    print(json.dumps(found, indent=1))
    wrong: dict[str, tuple[Any, Any]] = {
        name: (found["states"].get(name), state) for name, state in EXPECTED.items()
    }
    wrong = {name: pair for name, pair in wrong.items() if pair[0] != pair[1]}
    if found["fps"] is None:
        wrong["sensor.gate_frame_rate"] = (None, "a number")
    for name in ("picture_is_a_jpeg", "switched", "yard_is_gone", "unavailable_after_kill"):
        if found[name] is not True:
            wrong[name] = (found[name], True)
    if found["complaints"]:
        wrong["complaints"] = (found["complaints"], [])
    for name, pair in wrong.items():
        print(f"{name}: found {pair[0]!r}, not {pair[1]!r}", file=sys.stderr)
    return int(bool(wrong))


def _streams(python: str, seconds: int) -> int:
    """Have it play live streams and print what came of it; exit 1 if anything is not as it should be."""
    seed = secrets.randbelow(2**31)
    with tempfile.TemporaryDirectory() as folder:
        found = watched(
            Path(folder), python, seconds=seconds, port=lasting_port(), rng=np.random.default_rng(seed)
        )
    print(json.dumps({"seed": seed, "seconds": seconds, "streams": found}, indent=1))
    wrong = {name: one["wrong"] for name, one in found.items() if one["wrong"]}
    for name, why in wrong.items():
        print(f"{name}: {', '.join(why)}", file=sys.stderr)
    return int(bool(wrong))


def _run(folder: Path, python: str) -> dict[str, Any]:
    broker = Mosquitto(folder)
    broker.start()
    storage = folder / "config" / ".storage"
    storage.mkdir(parents=True)
    (folder / "config" / "configuration.yaml").write_text("logger:\n  default: warning\n")
    entry: dict[str, Any] = {
        **dict.fromkeys(("disabled_by", "unique_id")),
        **dict.fromkeys(("created_at", "modified_at"), "2025-01-01T00:00:00+00:00"),
        **dict.fromkeys(("pref_disable_new_entities", "pref_disable_polling"), False),
        "data": {"broker": "127.0.0.1", "port": broker.port},
        "discovery_keys": {},
        "domain": "mqtt",
        "entry_id": "broker",
        "minor_version": 2,
        "options": {"discovery": True, "discovery_prefix": "homeassistant"},
        "source": "user",
        "subentries": [],
        "title": "broker",
        "version": 1,
    }
    entries = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [entry]}}
    (storage / "core.config_entries").write_text(json.dumps(entries))
    environment = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
    run = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.home_assistant.run", str(folder), str(broker.port)],
        env=environment,
    )
    try:
        home = subprocess.run(
            [python, str(HERE / "inside.py"), str(folder), str(run.pid)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        run.kill()
        run.wait()
        broker.stop()
    if not (folder / "found.json").exists():
        raise RuntimeError(f"Home Assistant did not come to its end: {home.stdout[-3000:]}")
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    found["complaints"] = [
        line
        for line in home.stdout.splitlines()
        if (" ERROR " in line or " WARNING " in line) and not any(word in line for word in _OF_THE_MACHINE)
    ]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
