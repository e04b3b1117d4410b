"""``nightday-eval``: the command."""

from __future__ import annotations

import sys

import tyro
from tyro.conf import DisallowNone

from nightday.engines.distribution import program_version
from nightday.engines.errors import NightdayError

from .. import threads
from .arguments import PROGRAM, Arguments


def main(argv: list[str] | None = None) -> int:
    """Score checkpoints, or look at a camera's nights; exit 0 when done, 2 when an argument is wrong."""
    arguments = tyro.cli(Arguments, prog=PROGRAM, args=argv, config=(DisallowNone,))
    if arguments.version:
        print(f"{PROGRAM} {program_version()}")
        return 0
    fault = arguments.fault()
    if fault is not None:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)
        raise SystemExit(2)
    count = threads.set_up(arguments.threads)
    # PyTorch comes in with this, which takes seconds; --help must not wait for it.
    if arguments.week is not None:
        from .week.run import run_week as run
    else:
        from .evaluation import evaluate as run

    threads.apply(count)
    try:
        run(arguments)
    except (NightdayError, ImportError, ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
