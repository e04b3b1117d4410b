"""How many processors this process may use: by its affinity, and by the CPU limit of its container or service.

A limit (Docker's ``--cpus``, Kubernetes' ``limits.cpu``, systemd's ``CPUQuota=``) leaves the affinity as it is.
Libraries look at the affinity alone: with 64 processors and a limit of 2 they start 64 threads, use the period's time
up at once, and all of them stand still until the next period.

Imports neither PyTorch nor NumPy, which read the environment when they are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What PyTorch, OpenCV and NumPy's linear algebra read their number of threads from."""

_SYSTEM = Path("/")


def processors(allowed: Iterable[int] | None = None, system: Path = _SYSTEM) -> int:
    """Processors that this process may use, hyperthreads included, and no more than its control groups grant; ≥ 1.

    Args:
        allowed: numbers of the processors; None for this process's affinity.
        system: the folder with proc/ and sys/.
    """
    return _granted(len(_allowed(allowed)), system)


def physical_cores(allowed: Iterable[int] | None = None, system: Path = _SYSTEM) -> int:
    """``processors``, where those of one physical core count once."""
    topology = system / "sys/devices/system/cpu"
    cores = {_text(topology / f"cpu{n}/topology/thread_siblings_list") or f"{n}" for n in _allowed(allowed)}
    return _granted(len(cores), system)


def is_limited(system: Path = _SYSTEM) -> bool:
    """Whether a control group grants less than the affinity does."""
    affinity = len(_allowed(None))
    return _granted(affinity, system) < affinity


def limit_libraries(environment: MutableMapping[str, str] = os.environ, system: Path = _SYSTEM) -> None:
    """Where a control group grants less than the affinity, tell libraries that are loaded from now on.

    What the environment says already stays as it is.
    """
    if is_limited(system):
        count = str(physical_cores(system=system))
        for name in LIBRARIES:
            environment.setdefault(name, count)


def _allowed(allowed: Iterable[int] | None) -> list[int]:
    return [*(os.sched_getaffinity(0) if allowed is None else allowed)]


def _granted(count: int, system: Path) -> int:
    return max(1, min([count, *(int(quota) for quota in _quotas(system))]))


def _quotas(system: Path) -> list[float]:
    """The processors' time that each control group above this process is granted, in processors."""
    found = []
    for folder, version_2 in control_groups("cpu", system):
        if version_2:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return found


def control_groups(controller: str, system: Path) -> Iterator[tuple[Path, bool]]:
    """The folders of the control groups above this process, and whether each is of version 2.

    Args:
        controller: ``cpu`` or ``memory``; only version 1 has a tree for each.
        system: the folder with proc/ and sys/.
    """
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        version_2 = not controllers
        if not version_2 and controller not in controllers.split(","):
            continue
        # A container sees its own group as the root; the path may be that of the host.
        root = system / ("sys/fs/cgroup" if version_2 else f"sys/fs/cgroup/{controller}")
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            yield folder, version_2
            if folder == root:
                break


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
