"""How many threads training uses, on machines laid out as files; and that one number reaches every library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nightday.train.threads import cores, default_threads


def machine(root: Path, siblings: dict[int, str], **files: str) -> Path:
    """The folder with sys/ and proc/ of a machine: the processors of each one's core, and more files."""
    wanted = {f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": s for n, s in siblings.items()}
    for name, text in (wanted | files).items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_processors_of_one_core_count_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(seed := int(np.random.SeedSequence().generate_state(1)[0]))
    print(f"seed={seed}")
    count = int(rng.integers(1, 20))
    root = machine(tmp_path, {n: f"{n % count},{n % count + count}" for n in range(2 * count)})
    allowed = rng.choice(2 * count, int(rng.integers(1, 2 * count + 1)), replace=False).tolist()
    assert cores(allowed, root) == len({n % count for n in allowed})
    assert cores([0, 1, 5], tmp_path / "nothing is known") == 3


@pytest.mark.parametrize(("quota", "wanted"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)])
@pytest.mark.parametrize("where", ["a/b", "a", ""])
def test_a_control_group_grants_less(where: str, quota: str, wanted: int, tmp_path: Path) -> None:
    root = machine(tmp_path, {n: f"{n}" for n in range(8)}, proc__self__cgroup="0::/a/b")
    machine(root, {}, **{f"sys/fs/cgroup/{where}/cpu.max": quota})
    assert cores(range(8), root) == wanted


def test_a_control_group_of_the_first_version_grants_less(tmp_path: Path) -> None:
    root = machine(tmp_path, {}, proc__self__cgroup="4:memory:/x\n3:cpu,cpuacct:/job")
    group = "sys/fs/cgroup/cpu/job"
    machine(root, {}, **{f"{group}/cpu.cfs_quota_us": "300000", f"{group}/cpu.cfs_period_us": "100000"})
    assert cores(range(8), root) == 3
    machine(root, {}, **{f"{group}/cpu.cfs_quota_us": "-1"})
    assert cores(range(8), root) == 8


def test_processes_of_one_training_share_the_cores() -> None:
    alone = default_threads({})
    assert 1 <= alone <= len(os.sched_getaffinity(0))
    torchrun = {"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
    assert default_threads(torchrun) == max(1, alone // 2)
    assert default_threads({"LOCAL_WORLD_SIZE": "1000"}) == 1


def test_what_the_environment_says_is_taken() -> None:
    assert default_threads({"OMP_NUM_THREADS": "7"}) == 7
    assert default_threads({"OMP_NUM_THREADS": "3,2"}) == 3
    assert default_threads({"OMP_NUM_THREADS": "3", "LOCAL_WORLD_SIZE": "2"}) == 3
    assert default_threads({"OMP_NUM_THREADS": "many"}) == default_threads({})


def test_one_number_reaches_every_library() -> None:
    """A fresh process, in which nothing is loaded yet: PyTorch's, OpenCV's and what NumPy is told."""
    code = (
        "import os\n"
        "from nightday.train import threads\n"
        "threads.apply(threads.set_up(3))\n"
        "import torch, cv2\n"
        "print(torch.get_num_threads(), cv2.getNumThreads(), os.environ['OPENBLAS_NUM_THREADS'],"
        " os.environ['OMP_WAIT_POLICY'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said.split() == ["3", "3", "3", "PASSIVE"]
