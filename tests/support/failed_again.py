"""Runs what failed in the last run of the tests once more, by itself: ``python -m tests.support.failed_again MOST``.

Exits with 1 if more than MOST tests had failed, or one fails again.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

FAILED = Path(".pytest_cache/v/cache/lastfailed")


def names(failed: list[str]) -> list[str]:
    """Tests by the names that pytest takes: with several processes it adds ``@`` and the test's group to them."""
    return [re.sub(r"@[\w.-]+$", "", one) for one in failed]


def main() -> int:
    """See the module."""
    failed = names(list(json.loads(FAILED.read_text())))
    print("again, by themselves:", *failed, sep="\n", flush=True)
    return 1 if not 0 < len(failed) <= int(sys.argv[1]) else int(pytest.main(["-q", *failed]))


if __name__ == "__main__":
    sys.exit(main())
