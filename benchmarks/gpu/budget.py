"""The time that a run may take, and a report that is on disk after every part."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class OutOfTimeError(Exception):
    """The time is spent. What follows is not measured."""


class Budget:
    """Seconds until a run must be over, on a clock.

    Args:
        seconds: from now.
        clock: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds, 0 once it is over."""
        return max(0.0, self._end - self.clock())

    def ask(self, seconds: float) -> None:
        """Raise OutOfTimeError unless so many seconds are left."""
        if self.left < seconds:
            raise OutOfTimeError(f"{seconds:.0f} s asked for, {self.left:.0f} s left")

    def part(self, seconds: float) -> Budget:
        """A budget within this one."""
        return Budget(min(seconds, self.left), self.clock)


def not_measured(why: object) -> str:
    """The value of a row that was not measured: one line that says why."""
    name = "" if isinstance(why, (str, OutOfTimeError)) or str(why) else type(why).__name__
    return " ".join(f"not measured: {name}{why}".split())[:300]


class Report:
    """The JSON file, complete at any time: rows are "not measured" until they are."""

    def __init__(self, path: Path, head: dict[str, Any], parts: tuple[str, ...]) -> None:
        self.path = path
        self.content: dict[str, Any] = {**head, **{part: not_measured("not reached") for part in parts}}
        self.write()

    def write(self) -> None:
        """Atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps(_rounded(self.content), indent=1) + "\n")
        os.replace(part, self.path)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
