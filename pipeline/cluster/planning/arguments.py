"""The options of ``nightday-stream`` that belong to ``--plan``. Light to import."""

from __future__ import annotations

import argparse

from nightday.engines.command_line import number_of

# What goes with a plan alone, and what does not go with one.
_OWN = ("budget", "nodes", "assume", "json")
_OTHERS = ("demo", "check", "duration")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    plan = parser.add_argument_group("planning")
    plan.add_argument(
        "--plan",
        action="store_true",
        help="say how many cameras this machine carries, measured once; with --cameras, whether those fit",
    )
    plan.add_argument(
        "--budget",
        type=number_of("milliseconds"),
        metavar="MS",
        help="95 of 100 pictures are to be there within (default: 250)",
    )
    plan.add_argument(
        "--nodes", type=_machines, metavar="N", help="so many machines more like this one (default: 0)"
    )
    plan.add_argument(
        "--assume",
        metavar="SIZE@FPS",
        help="what live cameras send, e.g. 1280x720@15 (default: 1920x1080@25)",
    )
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")


def plan_fault(options: argparse.Namespace) -> str | None:
    """What does not go together; None where all does."""
    if not options.plan:
        given = [name for name in _OWN if getattr(options, name) not in (None, False)]
        return f"argument --{given[0]}: belongs to --plan" if given else None
    other = next((name for name in _OTHERS if getattr(options, name)), None)
    return None if other is None else f"argument --plan: not allowed with argument --{other}"


def _machines(text: str) -> int:
    if not text.isdecimal() or int(text) > 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of machines from 0 to 10000")
    return int(text)
