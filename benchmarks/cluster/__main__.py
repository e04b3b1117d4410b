"""Cameras on a Ray cluster of several nodes on this machine.

    python -m benchmarks.cluster --minutes 10 --json benchmarks/results/cluster.json

- ``failover``: 24 small cameras on three nodes, of which one is killed (SIGKILL) or frozen (SIGSTOP) every 30 s. All
  its cameras must be recorded again within 12 s, none by two nodes at once, and a node that thaws must write nothing.
- ``scaling``: as many cameras as keep both cores busy, translated on one node and on two, each pinned to a core. Two
  must translate at least 1.9 times as many frames.
"""

from __future__ import annotations

import argparse
import json
import secrets
import tempfile
from pathlib import Path
from typing import Any

from . import failover, scaling


def main(argv: list[str] | None = None) -> int:
    """Run what is asked for and print the figures; exit 1 if a camera was recorded twice or not in time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--minutes", type=float, default=10.0, help="of failover")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--only", choices=("failover", "scaling"))
    parser.add_argument("--json", type=Path, help="write the figures there too, beside what is there")
    parser.add_argument("--keep", type=Path, help="an empty folder for recordings and logs")
    args = parser.parse_args(argv)
    figures: dict[str, Any] = {}
    if args.json and args.json.exists():
        figures = json.loads(args.json.read_text())
    for name in ("failover", "scaling") if args.only is None else (args.only,):
        with tempfile.TemporaryDirectory() as temporary:
            folder = (args.keep or Path(temporary)) / name
            folder.mkdir(parents=True)
            if name == "failover":
                figures[name] = failover.run(folder, args.minutes * 60, seed=args.seed)
            else:
                figures[name] = scaling.run(folder)
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    told = figures.get("failover", {})
    late = told.get("back_s", {}).get("max", 0) > failover.BAR
    return int(bool(told.get("recorded_twice") or told.get("never_back") or late))


if __name__ == "__main__":
    raise SystemExit(main())
