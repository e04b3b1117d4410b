"""How many threads training uses, and that one number reaches every library."""

from __future__ import annotations

import os
import subprocess
import sys

from nightday.train.threads import default_threads


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
