"""What commands read from their arguments. Light to import."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def number_of(unit: str) -> Callable[[str], float]:
    """What reads a number above 0 of that unit; it raises ArgumentTypeError for anything else."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} is no number of {unit} above 0")
        return number

    return read
