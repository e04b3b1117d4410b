"""What runs in the background: its priority, and its end with the process that started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nightday.pipeline.learning.background_process import BackgroundProcess

WITHIN = 60.0

TELLS = """
import json, os, sys
told = {
    "words": sys.argv[1:], "policy": os.sched_getscheduler(0), "nice": os.nice(0),
    "memory": int(open("/proc/self/oom_score_adj").read()), "name": __name__,
}
print("said first")
print(json.dumps(told))
sys.exit(7)
"""
WAITS = """
import os, pathlib, sys, threading
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
threading.Event().wait()
"""
STARTS = """
import pathlib, sys
from nightday.pipeline.learning.background_process import BackgroundProcess
process = BackgroundProcess("waits", [sys.argv[1]], log=pathlib.Path(sys.argv[1] + ".log"))
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that a child finds."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "tells.py").write_text(TELLS)
    (folder / "waits.py").write_text(WAITS)
    monkeypatch.syspath_prepend(folder)
    return folder


def status_of(process: BackgroundProcess) -> int:
    end = time.monotonic() + WITHIN
    while (status := process.status()) is None:
        assert time.monotonic() < end, "it has not ended"
        time.sleep(0.01)
    return status


def written(path: Path) -> int:
    """The number in a file, once it is there."""
    end = time.monotonic() + WITHIN
    while not (path.is_file() and path.read_text()):
        assert time.monotonic() < end, f"{path} is not written"
        time.sleep(0.01)
    return int(path.read_text())


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="not Linux")
def test_it_runs_when_the_processors_have_nothing_else_to_do(tmp_path: Path) -> None:
    process = BackgroundProcess("tells", ["--steps=3", "a b"], log=tmp_path / "log")
    assert status_of(process) == 7
    told = json.loads(process.last_words())
    assert told == {
        "words": ["--steps=3", "a b"],
        "policy": os.SCHED_IDLE,
        "nice": 19,
        "memory": 1000,
        "name": "__main__",
    }


def test_it_is_stopped(tmp_path: Path) -> None:
    process = BackgroundProcess("waits", [str(tmp_path / "pid")], log=tmp_path / "log")
    written(tmp_path / "pid")
    process.stop(WITHIN)
    assert process.status() == -signal.SIGTERM


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="not Linux")
def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS, str(tmp_path / "pid")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
    )
    with parent:
        child = Path(f"/proc/{written(tmp_path / 'pid')}")
        assert child.exists()
        parent.kill()
    end = time.monotonic() + WITHIN
    while child.exists() and "State:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < end, "the child goes on"
        time.sleep(0.01)


def test_what_cannot_be_logged_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        BackgroundProcess("tells", [], log=tmp_path / "missing" / "log")
