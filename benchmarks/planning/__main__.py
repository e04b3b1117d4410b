"""Plans against what comes of them.

::

    python -m benchmarks.planning [--save] cluster [--cameras 10000] [--nodes 1000] [--events 500]
    python -m benchmarks.planning [--save] measured --core 1
    python -m benchmarks.planning [--save] costs --core 1

``cluster`` places cameras while nodes fail (see ``cluster.py``), ``measured`` compares ``nightday-stream --plan``
with cameras that run, and ``costs`` the processor time that it plans with theirs (see ``measured.py``). They write
their figures to benchmarks/results/planning.json with ``--save``.
"""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import Any

from benchmarks.rounding import rounded

RESULTS = Path(__file__).parents[1] / "results" / "planning.json"


def main(argv: list[str] | None = None) -> int:
    """Run one of the two and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning")
    parser.add_argument("--save", action="store_true", help=f"write the figures to {RESULTS.name}")
    kinds = parser.add_subparsers(dest="what", required=True)
    cluster = kinds.add_parser("cluster")
    cluster.add_argument("--cameras", type=int, default=10_000)
    cluster.add_argument("--nodes", type=int, default=1000)
    cluster.add_argument("--events", type=int, default=500)
    cluster.add_argument("--seed", type=int, default=None)
    whole = kinds.add_parser("measured")
    whole.add_argument("--core", type=int, default=0, help="the processor that all of it has")
    whole.add_argument("--points", type=int, nargs="*", default=None, help="by number, from 0; all of them")
    costs = kinds.add_parser("costs")
    costs.add_argument("--core", type=int, default=0, help="the processor that all of it has")
    costs.add_argument("--points", type=int, nargs="*", default=None, help="by number, from 0; all of them")
    options = parser.parse_args(argv)
    figures: dict[str, Any]
    if options.what == "cluster":
        from benchmarks.planning.cluster import Cluster

        seed = secrets.randbits(32) if options.seed is None else options.seed
        made = Cluster(options.cameras, options.nodes, seed)
        figures = {"seed": seed, **made.run(options.events).summary(options.cameras, options.nodes)}
    else:
        from benchmarks.planning import measured

        numbers = range(len(measured.POINTS)) if options.points is None else options.points
        chosen = [measured.POINTS[number] for number in numbers]
        run = measured.compare if options.what == "measured" else measured.costs
        figures = run(core=options.core, points=chosen)
    figures = rounded(figures)
    print(json.dumps(figures, indent=1))
    if options.save:
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**known, options.what: figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
