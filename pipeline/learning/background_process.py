"""A process that works only while the machine has nothing better to do, and ends with this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nightday.engines import child_process

# Its standard input ends with this process, however that ends, and then it ends, too. It lowers its own priority,
# since running a function between fork and exec is not safe beside threads. Idle scheduling leaves it what no other
# process wants of the processors; where memory runs out it is the first to go.
_CHILD = """
import os, sys, threading
os.nice(19)
if hasattr(os, "SCHED_IDLE"):
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        pass
try:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
except OSError:
    pass
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
sys.argv[0] = sys.argv[1]
del sys.argv[1]
import runpy
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class BackgroundProcess:
    """Runs a module of Python, ``python -m MODULE WORDS``, in the background.

    Args:
        module: its name.
        words: its arguments.
        log: a file for what it says; begun anew.

    Raises:
        OSError: it cannot be started, or the log cannot be written.
    """

    def __init__(self, module: str, words: Sequence[str], *, log: Path) -> None:
        self._log = log
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD, module, *words],
                env={**child_process.environment(), "COLUMNS": "200"},
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def status(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """The last line that it said."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def stop(self, within: float) -> None:
        """Ask it to end, and end it after so many seconds."""
        with suppress(OSError):
            self._process.terminate()
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
