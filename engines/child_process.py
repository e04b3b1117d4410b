"""Python processes beside this one that run the same code."""

from __future__ import annotations

import os
import sys


def environment() -> dict[str, str]:
    """This process's environment, in which a child's ``import`` finds what this process would find."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
