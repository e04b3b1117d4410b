"""``nightday-train``: one scene in, one checkpoint out."""

from __future__ import annotations

import os
import sys

from nightday.engines.distribution import program_version
from nightday.engines.errors import NightdayError

from . import threads
from .arguments import PROGRAM, parse


def main(argv: list[str] | None = None) -> int:
    """Train; exit 0 when done, 1 when it fails, 2 when arguments or scene are wrong, 130 when stopped and saved."""
    arguments = parse(argv)
    if arguments.version:
        print(f"{PROGRAM} {program_version()}")
        return 0
    try:
        arguments.check()
        count = threads.set_up(arguments.threads)
        # PyTorch comes in with these, which takes seconds; --help must not wait for it.
        from .run.trainer import TrainingError
        from .session import run, settings_of

        threads.apply(count)
        settings = settings_of(arguments)
    except ValueError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    try:
        return run(arguments, settings)
    except TrainingError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except (NightdayError, OSError) as error:
        if os.environ.get("RANK", "0") == "0":  # all of torchrun's processes find the same
            print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
