"""How many processors may be used: on machines laid out as files, and in a real control group."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from nightday.engines.cores import LIBRARIES, limit_libraries, physical_cores, processors


def machine(root: Path, siblings: dict[int, str], **files: str) -> Path:
    """The folder with sys/ and proc/ of a machine: the processors of each one's core, and more files."""
    wanted = {f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": s for n, s in siblings.items()}
    for name, text in (wanted | files).items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_processors_of_one_core_count_once(tmp_path: Path, rng: np.random.Generator) -> None:
    count = int(rng.integers(1, 20))
    root = machine(tmp_path, {n: f"{n % count},{n % count + count}" for n in range(2 * count)})
    allowed = rng.choice(2 * count, int(rng.integers(1, 2 * count + 1)), replace=False).tolist()
    assert physical_cores(allowed, root) == len({n % count for n in allowed})
    assert processors(allowed, root) == len(allowed)
    assert physical_cores([0, 1, 5], tmp_path / "nothing is known") == 3


@pytest.mark.parametrize("count", [physical_cores, processors])
@pytest.mark.parametrize(("quota", "wanted"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)])
@pytest.mark.parametrize("where", ["a/b", "a", ""])
def test_a_control_group_grants_less(
    where: str, quota: str, wanted: int, count: Callable[..., int], tmp_path: Path
) -> None:
    root = machine(tmp_path, {n: f"{n}" for n in range(8)}, proc__self__cgroup="0::/a/b")
    machine(root, {}, **{f"sys/fs/cgroup/{where}/cpu.max": quota})
    assert count(range(8), root) == wanted


def test_the_tightest_of_nested_groups_counts(tmp_path: Path, rng: np.random.Generator) -> None:
    quotas = [int(quota) for quota in rng.integers(1, 20, 5)]
    names = ["", "a", "a/b", "a/b/c", "a/b/c/d"]
    files = {
        f"sys/fs/cgroup/{name}/cpu.max": f"{q * 50000} 50000" for name, q in zip(names, quotas, strict=True)
    }
    root = machine(tmp_path, {}, proc__self__cgroup="0::/a/b/c/d", **files)
    assert processors(range(16), root) == min(16, *quotas)


def test_a_container_that_sees_the_hosts_path_finds_its_own_group(tmp_path: Path) -> None:
    """Without a namespace of its own for groups, the path is the host's and the root is the container's group."""
    root = machine(tmp_path, {}, proc__self__cgroup="0::/system.slice/docker-1f.scope")
    machine(root, {}, **{"sys/fs/cgroup/cpu.max": "150000 50000"})
    assert processors(range(8), root) == 3


def test_a_control_group_of_the_first_version_grants_less(tmp_path: Path) -> None:
    root = machine(tmp_path, {}, proc__self__cgroup="4:memory:/x\n3:cpu,cpuacct:/job")
    group = "sys/fs/cgroup/cpu/job"
    machine(root, {}, **{f"{group}/cpu.cfs_quota_us": "300000", f"{group}/cpu.cfs_period_us": "100000"})
    assert processors(range(8), root) == 3
    machine(root, {}, **{f"{group}/cpu.cfs_quota_us": "-1"})
    assert processors(range(8), root) == 8


def test_libraries_are_told_of_a_limit_and_of_nothing_else(tmp_path: Path) -> None:
    root = machine(tmp_path, {}, proc__self__cgroup="0::/")
    environment: dict[str, str] = {}
    limit_libraries(environment, root)
    assert environment == {}
    machine(root, {}, **{"sys/fs/cgroup/cpu.max": "10000 100000"})
    if len(os.sched_getaffinity(0)) > 1:
        limit_libraries(environment, root)
        assert environment == dict.fromkeys(LIBRARIES, "1")
        limit_libraries(given := {"OMP_NUM_THREADS": "5"}, root)
        assert given["OMP_NUM_THREADS"] == "5"


@pytest.fixture
def one_processor() -> Iterator[Path]:
    """``cgroup.procs`` of a group that is granted one processor's time, within a group without a limit."""
    outer = Path(f"/sys/fs/cgroup/cpu/nightday-test-{os.getpid()}")
    files = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}
    if not outer.parent.is_dir():
        outer = Path(f"/sys/fs/cgroup/nightday-test-{os.getpid()}")
        files = {"cpu.max": "100000 100000"}
    try:
        (outer / "inner").mkdir(parents=True)
        for name, text in files.items():
            (outer / name).write_text(text)
        yield outer / "inner" / "cgroup.procs"
    except OSError as error:
        pytest.skip(f"no group with a CPU limit can be made here: {error}")
    finally:
        for folder in (outer / "inner", outer):
            with suppress(OSError):
                folder.rmdir()


REPORT = """\
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
from nightday.engines import cores
cores.limit_libraries()
import torch, openvino as ov
from nightday.engines.backends.openvino import build
front = ov.Model([ov.opset13.relu(p := ov.opset13.parameter([1, 4], ov.Type.f32))], [p])
class Graph: draws = False
compiled = build.CORE.compile_model(front, "CPU", build.options(Graph, build.ALL_CORES, "fp32"))
print(cores.processors(), len(os.sched_getaffinity(0)), torch.get_num_threads(),
      compiled.get_property("INFERENCE_NUM_THREADS"))
"""


@pytest.mark.slow
def test_openvino_and_pytorch_keep_to_a_real_limit(one_processor: Path) -> None:
    """OpenVINO and PyTorch by themselves take as many threads as the affinity allows."""
    environment = {name: value for name, value in os.environ.items() if name not in LIBRARIES}
    command = [sys.executable, "-c", REPORT, str(one_processor)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    counted, affinity, torch_threads, openvino_threads = (int(word) for word in done.stdout.split())
    assert affinity == len(os.sched_getaffinity(0))
    assert (counted, torch_threads, openvino_threads) == (1, 1, 1)
