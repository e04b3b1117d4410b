"""``python -m benchmarks.soak``: run the cases named and print their figures."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import benchmarks.soak
from benchmarks.soak.connections import outages, reconnects
from benchmarks.soak.load import flood, mixed16, overload
from benchmarks.soak.processes import fuzz, kill
from benchmarks.soak.run import Figures
from benchmarks.stream import _cpu
from tests.faults.usage import settle_interned

CASES: dict[str, Callable[[argparse.Namespace, Path], Figures]] = {
    "reconnects": reconnects,
    "outages": outages,
    "mixed16": mixed16,
    "overload": overload,
    "flood": flood,
    "kill": kill,
    "fuzz": fuzz,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases named and print their figures. Returns 1 if a bar is missed, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=benchmarks.soak.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("case", nargs="+", choices=tuple(CASES))
    parser.add_argument("--reconnects", type=int, default=1000)
    parser.add_argument("--warm-up", type=float, default=240.0, help="seconds before the first reconnect")
    parser.add_argument("--outages", type=int, default=60)
    parser.add_argument("--longest", type=float, default=45.0, help="seconds of the longest outage")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of overload, flood and fuzz, and of mixed16's halves"
    )
    parser.add_argument("--fps", type=int, default=10, help="of mixed16's cameras")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args(argv)
    print(f"seed {arguments.seed}", file=sys.stderr, flush=True)
    settle_interned()
    results: Figures = {
        "machine": f"{_cpu()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "seed": arguments.seed,
        "cases": {},
    }
    for name in arguments.case:
        with tempfile.TemporaryDirectory() as folder:
            figures = CASES[name](arguments, Path(folder))
        results["cases"][name] = figures
        print(json.dumps({name: figures}, indent=1), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(figures["met"] for figures in results["cases"].values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
