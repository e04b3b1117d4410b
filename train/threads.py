"""How many threads the commands compute with: one number for PyTorch, OpenCV and NumPy's linear algebra.

Imports none of them, since they read the environment when they are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SYSTEM = Path("/")


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
    os.environ.update(dict.fromkeys(_LIBRARIES, str(count)))
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
    return max(1, cores(os.sched_getaffinity(0)) // together)


def cores(allowed: Iterable[int], system: Path = _SYSTEM) -> int:
    """Physical cores behind the processors that this process may use, and no more than its control group grants.

    Args:
        allowed: numbers of the processors.
        system: the folder with proc/ and sys/.
    """
    processors = [*allowed]
    topology = system / "sys/devices/system/cpu"
    physical = {_text(topology / f"cpu{n}/topology/thread_siblings_list") or f"{n}" for n in processors}
    return max(1, min([len(physical), *(int(quota) for quota in _quotas(system))]))


def _quotas(system: Path) -> list[float]:
    """The processors' time that each control group above this process is granted, in processors."""
    found = []
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        # A container sees its own group as the root; the path may be that of the host.
        version_2 = not controllers
        root = system / ("sys/fs/cgroup" if version_2 else "sys/fs/cgroup/cpu")
        if not version_2 and "cpu" not in controllers.split(","):
            continue
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            if version_2:
                quota, _, period = _text(folder / "cpu.max").partition(" ")
            else:
                quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period):
                found.append(max(1.0, int(quota) / int(period)))
            if folder == root:
                break
    return found


def _number(text: str | None) -> int | None:
    """A whole number above 0, of a list of them the first."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
