"""``nightday-engine``: build engines ahead of time, see what is there, measure, delete."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from . import cores
from .choices import MIN_SIDE, Backend, Precision, Reuse
from .command_line import number_of
from .distribution import program_version
from .errors import CheckpointError, EngineError

# Exit statuses.
DONE, FAILED, WRONG = 0, 1, 2

Row = dict[str, Any]

# Columns that are left out where no row has a value.
_WHERE_KNOWN = ("share", "auto_ms", "off_ms", "off_psnr", "off_worst")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, which begin behind the program's name; by default the process's own.

    Returns 0 when done, 1 when it ran and failed. Wrong arguments give 2, or SystemExit(2) from argparse.
    """
    options = _parser().parse_args(arguments)
    if options.command == "prune" and not (options.all or options.days or options.max_gigabytes):
        options.fail("say what to delete: --max-gigabytes, --days or --all")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    cores.limit_libraries()
    from .commands import COMMANDS  # slow: imports PyTorch

    try:
        rows = COMMANDS[options.command](options)
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
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it once more when it ends
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
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def command(name: str, columns: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument("--json", action="store_true", help="print JSON in place of a table")
        made.set_defaults(columns=columns.split())
        return made

    add = command(
        "build",
        "model size backend precision seconds",
        "compile ahead of time what nightday-stream will need",
    ).add_argument
    add("--model", type=Path, required=True, action="append", help="a checkpoint; may be repeated")
    help_ = "e.g. 1080x1920; may be repeated"
    add("--size", type=_size, required=True, action="append", metavar="HxW", help=help_)
    add("--backend", choices=get_args(Backend), default="auto", help="default: auto")
    add("--precision", choices=get_args(Precision), default="auto", help="default: auto")
    help_ = "as in the configuration; default: 8"
    add("--max-batch", type=_count, default=8, metavar="N", help=help_)
    add("--reuse", choices=get_args(Reuse), default="auto", help="as in the configuration; default: auto")

    command("list", "model size backend precision verdict bytes used", "show what is in the cache")

    add = command(
        "qualify",
        "serves backend precision psnr worst ms share auto_ms off_ms off_psnr off_worst verdict",
        "measure every backend and precision of this machine against eager fp32, and remember it",
    ).add_argument
    add("--model", type=Path, required=True, help="a checkpoint")
    help_ = (
        "a folder of pictures or a clip to measure on; default: the night frames in the checkpoint. What is measured "
        "on others is not remembered"
    )
    add("--frames", type=Path, metavar="PATH", help=help_)
    help_ = "the camera's backgrounds by day and by night, two pictures, for a model that takes them; with --frames"
    add("--backgrounds", type=Path, nargs=2, metavar=("DAY", "NIGHT"), help=help_)
    help_ = "accept what takes no longer, even if eager is faster"
    add("--budget-ms", type=number_of("milliseconds"), metavar="MS", help=help_)

    prune = command("prune", "model size backend precision bytes used", "delete from the cache")
    prune.set_defaults(fail=prune.error)
    add = prune.add_argument_group("what to delete, at least one of").add_argument
    help_ = "those unused for longest, until the others fit"
    add("--max-gigabytes", type=number_of("gigabytes"), metavar="GB", help=help_)
    add("--days", type=number_of("days"), metavar="N", help="those unused for so many days")
    add("--all", action="store_true", help="all")
    return parser


def _show(rows: list[Row], columns: list[str]) -> None:
    if not rows:
        print("nothing")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        values = [row[column] for row in rows]
        if column in _WHERE_KNOWN and all(value is None for value in values):
            continue
        numbers = any(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)
        table.add_column(column, justify="right" if numbers else "left", no_wrap=column != "verdict")
    for row in rows:
        table.add_row(*(_cell(row[str(column.header)]) for column in table.columns))
    # Where the output is no terminal but a script or a file, rich would assume 80 columns.
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 250).print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "*" if value else ""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _size(text: str) -> tuple[int, int]:
    height, times, width = text.lower().partition("x")
    if not (times and height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= MIN_SIDE):
        raise argparse.ArgumentTypeError(f"{text!r} is no height x width in pixels, each at least {MIN_SIDE}")
    return int(height), int(width)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 256")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
