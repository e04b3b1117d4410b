"""How many threads the commands compute with: one number for PyTorch, OpenCV and NumPy's linear algebra.

Imports none of them, since they read the environment when they are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from nightday.engines.cores import LIBRARIES, physical_cores


def set_up(threads: int | None) -> int:
    """Set the number of threads, before PyTorch and NumPy are loaded; ``apply`` must follow once they are.

    Threads that wait for each other go to sleep. By default they wait by running, and where other programs hold some
    of the cores, most of the time goes into that: on two cores beside two busy programs a step of training took seven
    times as long, see "Training" in benchmarks/NOTES.md.

    Args:
        threads: of this process; None for ``default_threads``.

    Returns:
        The number.
    """
    count = default_threads() if threads is None else threads
    os.environ.update(dict.fromkeys(LIBRARIES, str(count)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return count


def apply(threads: int) -> None:
    """Set the number of threads of PyTorch and OpenCV, and load them."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def default_threads(environment: Mapping[str, str] = os.environ) -> int:
    """``OMP_NUM_THREADS`` where it is set, else the machine's cores shared among the processes of a training, ≥ 1.

    What other programs are doing at the moment is not looked at: sums would depend on it in their last bits, and a
    run that goes on would not be the same as one that was never stopped.
    """
    together = _number(environment.get("LOCAL_WORLD_SIZE")) or 1
    given = _number(environment.get("OMP_NUM_THREADS"))
    # torchrun sets it to 1 where nobody else has.
    if given and not (together > 1 and given == 1):
        return given
    return max(1, physical_cores() // together)


def _number(text: str | None) -> int | None:
    """A whole number above 0, of a list of them the first."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None
