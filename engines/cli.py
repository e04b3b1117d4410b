"""``nightday-engine``: build engines ahead of time, see what is there, measure, delete."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from .backends.base import MIN_SIDE
from .cache.cache_entry import CacheEntry
from .cache.engine_cache import EngineCache
from .choices import Backend, Precision
from .errors import CheckpointError, EngineError
from .model.qualification_frames import read_frames
from .selection.load import Bench, candidates, fastest, load_engine
from .selection.qualify import VERDICT, Qualification
from .version import program_version

DONE, FAILED, WRONG = 0, 1, 2

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; ``arguments`` without the program's name, by default the process's.

    Returns 0 when done, 1 when it ran and failed. Arguments that are wrong give 2, or SystemExit(2) from argparse.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        rows = options.run(options)
        if options.json:
            print(json.dumps(rows, indent=1, allow_nan=False))
        else:
            _show(rows, options.columns)
    except (CheckpointError, EngineError, ValueError) as error:
        print(f"nightday-engine: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it once more at its end
        return FAILED
    except Exception as error:  # compilers raise anything
        print(f"nightday-engine: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nightday-engine",
        description="Compiled engines and what was measured of them: in $XDG_CACHE_HOME/nightday-stream/engines, "
        "by default below ~/.cache.",
        epilog="Exit status: 0 done, 1 it ran and failed, 2 the arguments are wrong or ask for what cannot be had.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {program_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, columns: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument("--json", action="store_true", help="print JSON in place of a table")
        made.set_defaults(run=run, columns=columns.split())
        return made

    build = command(
        "build",
        _build,
        "model size backend precision seconds",
        "compile ahead of time what nightday-stream will need",
    )
    build.add_argument(
        "--model", type=Path, required=True, action="append", help="a checkpoint; may be repeated"
    )
    build.add_argument(
        "--size",
        type=_size,
        required=True,
        action="append",
        metavar="HxW",
        help="e.g. 1080x1920; may be repeated",
    )
    build.add_argument("--backend", choices=get_args(Backend), default="auto", help="default: auto")
    build.add_argument("--precision", choices=get_args(Precision), default="auto", help="default: auto")
    build.add_argument(
        "--max-batch", type=_count, default=8, metavar="N", help="as in the configuration; default: 8"
    )

    command("list", _list, "model size backend precision verdict bytes used", "show what is in the cache")

    measure = command(
        "qualify",
        _qualify,
        "serves backend precision psnr worst ms verdict",
        "measure every backend and precision of this machine against eager fp32, and remember it",
    )
    measure.add_argument("--model", type=Path, required=True, help="a checkpoint")
    measure.add_argument(
        "--frames",
        type=Path,
        metavar="PATH",
        help="a folder of pictures or a clip to measure on; default: the night frames in the checkpoint. What is "
        "measured on others is not remembered",
    )
    measure.add_argument(
        "--budget-ms",
        type=_positive,
        metavar="MS",
        help="accept what takes no longer, even if eager is faster",
    )

    prune = command("prune", _prune, "model size backend precision bytes used", "delete from the cache")
    what = prune.add_argument_group("what to delete, at least one of").add_argument
    what(
        "--max-gigabytes", type=_positive, metavar="GB", help="those unused for longest, until the others fit"
    )
    what("--days", type=_positive, metavar="N", help="those unused for so many days")
    what("--all", action="store_true", help="all")
    prune.set_defaults(fail=prune.error)
    return parser


def _build(options: argparse.Namespace) -> list[Row]:
    rows = []
    for model in options.model:
        engine = load_engine(model, options.backend, options.precision, max_batch=options.max_batch)
        for height, width in options.size:
            named = {"backend": engine.info.backend, "precision": engine.info.precision}
            size = f"{height}x{width}"
            print(f"{model.name} {size}, {' '.join(named.values())}: building", file=sys.stderr)
            began = time.monotonic()
            engine.prepare(height, width)
            seconds = round(time.monotonic() - began, 2)
            rows.append({"model": model.name, "size": size, **named, "seconds": seconds})
    return rows


def _list(options: argparse.Namespace) -> list[Row]:
    return _rows(EngineCache().entries())


def _qualify(options: argparse.Namespace) -> list[Row]:
    frames = read_frames(options.frames) if options.frames else []
    bench = Bench(options.model, frames=frames)
    measure = bench.measure if frames else bench.remeasure
    verdicts = {one: measure(one, budget_ms=options.budget_ms) for one in candidates()}
    serves = fastest(verdicts)
    return [
        {
            "serves": one == serves,
            "backend": one.backend,
            "precision": one.precision,
            "psnr": _number(verdict.mean),
            "worst": _number(min(verdict.psnr, default=math.nan)),
            "ms": _number(verdict.ms),
            "verdict": verdict.reason or "accepted",
        }
        for one, verdict in verdicts.items()
    ]


def _prune(options: argparse.Namespace) -> list[Row]:
    if not (options.all or options.days or options.max_gigabytes):
        options.fail("say what to delete: --max-gigabytes, --days or --all")
    gone = EngineCache().prune(
        max_bytes=None if options.max_gigabytes is None else int(options.max_gigabytes * 1e9),
        older_than=None if options.days is None else options.days * 86400,
        everything=options.all,
    )
    return _rows(gone)


def _rows(entries: Sequence[CacheEntry]) -> list[Row]:
    """Engines with the verdict on them, and verdicts on what has no file of its own, such as eager."""
    verdicts: dict[tuple[str, ...], tuple[str, str]] = {}
    for entry in entries:
        if entry.key is not None and VERDICT in entry.files:
            try:
                reason = Qualification.load(entry.folder).unfaithful or "accepted"
            except (OSError, ValueError, KeyError, TypeError):
                reason = "?"  # deleted meanwhile, or torn: it will be measured anew
            verdicts[_subject(entry)] = (entry.label, reason)
    compiled = {_subject(entry) for entry in entries if VERDICT not in entry.files}
    rows = []
    for entry in entries:
        judged = VERDICT in entry.files
        if judged and _subject(entry) in compiled:
            continue
        label, verdict = verdicts.get(_subject(entry), ("", ""))
        key = entry.key
        rows.append(
            {
                "model": entry.label or label or (key.checkpoint[:12] if key else entry.folder.name[:12]),
                "size": "" if judged or key is None else "x".join(map(str, key.shape[1:])),
                "backend": "" if key is None else key.backend,
                "precision": "" if key is None else key.precision,
                "verdict": verdict if key is not None else "torn",
                "bytes": entry.size,
                "used": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.used)),
            }
        )
    return rows


def _subject(entry: CacheEntry) -> tuple[str, ...]:
    key = entry.key
    return () if key is None else (key.checkpoint, key.backend, key.version, key.precision, key.device)


def _show(rows: list[Row], columns: list[str]) -> None:
    if not rows:
        print("nothing")
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        numbers = isinstance(rows[0][column], (int, float)) and not isinstance(rows[0][column], bool)
        table.add_column(column, justify="right" if numbers else "left", no_wrap=column != "verdict")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    # A script or a file is no terminal, which rich takes for 80 columns.
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 250).print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "*" if value else ""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def _size(text: str) -> tuple[int, int]:
    height, times, width = text.lower().partition("x")
    if not (times and height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= MIN_SIDE):
        raise argparse.ArgumentTypeError(f"{text!r} is no height x width in pixels, each at least {MIN_SIDE}")
    return int(height), int(width)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 256")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
