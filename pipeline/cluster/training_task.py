"""The training of a round as a task of Ray, which has it done by a process of the lowest priority."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

# Seconds between looks at whether the training has ended.
LOOK_EVERY = 0.5


def train_round(folder: Path, start: Path, words: Sequence[str]) -> tuple[int, str]:
    """Train the round in ``folder``; how that ended and the last line that was said. Cancelled, it ends the training.

    Args:
        folder: the round, or a try of it.
        start: where relative paths start.
        words: arguments of the training.

    Raises:
        OSError: it cannot be started.
    """
    # Ray allows a process that reserves no processors one thread. The training is told how many it may have.
    os.environ.pop("OMP_NUM_THREADS", None)
    os.chdir(start)
    from ..learning.camera_learning import STOP_WITHIN, start_round

    training = start_round(folder, words)
    try:
        while (status := training.status()) is None:
            time.sleep(LOOK_EVERY)
        return status, training.last_words()
    finally:
        training.stop(STOP_WITHIN)
