"""``log.jsonl`` of a run: the mean loss terms, a line every ``LOG_EVERY`` steps."""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import TextIO

import numpy as np

# Steps averaged into one line.
LOG_EVERY = 50


class StepLog:
    """Writes the log of a run that goes on.

    Args:
        file: where the lines go.
        seconds: of training before this process.
        step: that the training is at.
    """

    def __init__(self, file: TextIO, *, seconds: float, step: int) -> None:
        self._file, self._before, self._first = file, seconds, step
        self._recent: deque[dict[str, float]] = deque(maxlen=LOG_EVERY)
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before it was resumed included."""
        return self._before + time.monotonic() - self._started

    @property
    def first(self) -> int:
        """The step at which this process began."""
        return self._first

    def add(self, step: int, terms: dict[str, float]) -> dict[str, float] | None:
        """Take the terms of a step; gives their means where a line was written."""
        self._recent.append(terms)
        if step % LOG_EVERY:
            return None
        # Terms join in the middle of a run: each is averaged over the steps that have it.
        mean: dict[str, float] = {}
        for name in sorted({name for each in self._recent for name in each}):
            mean[name] = float(np.mean([each[name] for each in self._recent if name in each]))
        rate = (step - self._first) / (time.monotonic() - self._started)
        line = {"step": step, "steps_per_s": round(rate, 3), "seconds": round(self.seconds, 1), **mean}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        return mean


def read_log(path: Path, last: int) -> list[dict[str, float]]:
    """The lines of a ``log.jsonl`` up to step ``last``; of steps logged twice, after a kill, the later."""
    lines: dict[int, dict[str, float]] = {}
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            if line["step"] <= last:
                lines[line["step"]] = line
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # torn by a kill
    return [lines[step] for step in sorted(lines)]
