#!/usr/bin/env bash
# Ray and the priority of what it runs.
#
# A task or actor runs at niceness 15, whatever the priority of the program that asks for it: beside anything else that
# wants the processor it gets a few per cent of it. For batches that is kind; a program that has to keep up with live
# streams falls behind. RAY_worker_niceness=0, in the environment of what starts the node, leaves it at 0.
# Seen with Ray 2.60.0 on Linux.
#
# Wants python3-venv. Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv venv
venv/bin/pip install -q ray==2.60.0

cat > priority.py <<'PYTHON'
import os
import ray

ray.init(address="local", num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)


@ray.remote
class Actor:
    def niceness(self):
        return os.nice(0)


@ray.remote
def niceness():
    return os.nice(0)


print(os.nice(0), ray.get(Actor.options(num_cpus=0).remote().niceness.remote()), ray.get(niceness.remote()))
PYTHON

usual=$(venv/bin/python priority.py 2>/dev/null)
told=$(RAY_worker_niceness=0 venv/bin/python priority.py 2>/dev/null)
echo "niceness of the program, an actor, a task: $usual"
echo "with RAY_worker_niceness=0: $told"
[[ "$usual" == "0 15 15" && "$told" == "0 0 0" ]] || { echo "Ray does something else now"; exit 1; }
