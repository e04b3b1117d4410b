"""A study table's file: one JSON line per run, sorted by scene, method and seed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "study"

# A run's scene, method and seed; the seed is None where nothing is trained.
Key = tuple[str, str, int | None]
Run = dict[str, Any]


def key_of(run: Run) -> Key:
    """What tells a run from the table's others."""
    return run["scene"], run["method"], run["seed"]


def read_runs(table: Path) -> dict[Key, Run]:
    """Every run of a table, in the file's order; none if the file does not exist yet."""
    if not table.is_file():
        return {}
    runs = [json.loads(line) for line in table.read_text().splitlines()]
    return {key_of(run): run for run in runs}


def write_run(table: Path, run: Run) -> None:
    """Add a run to a table, or replace the one with the same scene, method and seed.

    Several processes may write to one table. A process that is killed on the way leaves the table as it was.
    """
    table.parent.mkdir(parents=True, exist_ok=True)
    with _locked(table.parent):
        runs = read_runs(table) | {key_of(run): _rounded(run)}
        lines = [json.dumps(runs[key]) for key in sorted(runs, key=_order)]
        part = table.with_name(f"{table.name}.part")
        part.write_text("\n".join(lines) + "\n")
        os.replace(part, table)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The table itself cannot carry it, because each write replaces the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _order(key: Key) -> tuple[str, str, int]:
    scene, method, seed = key
    return scene, method, -1 if seed is None else seed


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 5) if isinstance(value, float) else value
