#!/usr/bin/env bash
# Ray and what runs when its head is gone.
#
# Sixty seconds after the head (its GCS) was lost, Ray ends the program that uses it and every actor. They are not
# asked: no signal that Python could handle, no exception, no finally, no atexit. Whoever has files or connections open
# has to notice first that the head is gone, and end by itself within that minute.
# Seen with Ray 2.60.0 on Linux. Takes about two minutes.
#
# Wants python3-venv and procps. Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv venv
venv/bin/pip install -q ray==2.60.0

cat > program.py <<'PYTHON'
import atexit
import os
import signal
import time
from pathlib import Path

import ray

FOLDER = Path.cwd()


def note_end(who):
    atexit.register((FOLDER / f"{who}: atexit").touch)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: (FOLDER / f"{who}: signal").touch())


def work(who):
    try:
        while True:
            time.sleep(0.1)
    except BaseException:
        (FOLDER / f"{who}: exception").touch()
        raise
    finally:
        (FOLDER / f"{who}: finally").touch()


@ray.remote
class Actor:
    def __init__(self):
        note_end("actor")

    def pid(self):
        return os.getpid()

    def work(self):
        work("actor")


ray.init(address="local", num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
note_end("program")
actor = Actor.remote()
pid = ray.get(actor.pid.remote())
actor.work.remote()
(FOLDER / "ready.part").write_text(str(pid))
(FOLDER / "ready.part").rename(FOLDER / "ready")
work("program")
PYTHON

venv/bin/python program.py 2> log &
program=$!
until [[ -e ready ]]; do kill -0 "$program" || { cat log; exit 1; }; sleep 0.1; done
actor=$(cat ready)
kill -KILL "$(pgrep -P "$program" -f gcs_server)"
began=$SECONDS
status=0
timeout 150 tail --pid="$program" -f /dev/null || { echo "the program still runs after 150 s"; kill "$program"; exit 1; }
wait "$program" || status=$?
after=$((SECONDS - began))
for _ in {1..300}; do [[ -d /proc/$actor ]] || break; sleep 0.1; done
alive=$([[ -d /proc/$actor ]] && echo "still runs" || echo "is gone")
ran=$(find . -maxdepth 1 -name '*: *' -printf '%f; ')
echo "the program ended $after s after the head was lost, with status $status; its actor $alive; at their ends ran: ${ran:-nothing}"
[[ $after -ge 50 && $status -ne 0 && $alive == "is gone" && -z $ran ]] || { echo "Ray does something else now"; exit 1; }
