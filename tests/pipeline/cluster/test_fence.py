"""The right to write: a lease that runs out, and epochs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from nightday.pipeline.cluster.fence import Fence, boot_seconds


def test_a_camera_is_written_under_its_epoch_while_the_lease_holds() -> None:
    now = [100.0]
    fence = Fence(lambda: now[0])
    lease = fence.lease("gate", 7)
    assert lease.epoch == 7
    assert not lease.may_write()
    fence.allow({"gate": 7, "yard": 8})
    assert not lease.may_write()
    fence.renew(105.0)
    assert lease.may_write()
    assert not fence.lease("gate", 6).may_write()
    fence.renew(103.0)  # one that was late on its way shortens nothing
    now[0] = 104.9
    assert lease.may_write()
    now[0] = 105.0
    assert not lease.may_write()
    fence.renew(110.0)
    assert lease.may_write()
    fence.keep({"yard": 8})
    assert not lease.may_write()
    assert fence.lease("yard", 8).may_write()


def test_leases_of_other_epochs_differ() -> None:
    fence = Fence(lambda: 0.0)
    assert fence.lease("gate", 7) == fence.lease("gate", 7)
    assert fence.lease("gate", 7) != fence.lease("gate", 8)


WRITER = """
import sys
from nightday.pipeline.cluster.fence import Fence, boot_seconds
fence = Fence()
fence.allow({"gate": 1})
fence.renew(boot_seconds() + float(sys.argv[1]))
lease = fence.lease("gate", 1)
print(lease.may_write(), flush=True)
sys.stdin.readline()
print(lease.may_write(), flush=True)
"""


def test_the_lease_of_a_stopped_process_runs_out() -> None:
    seconds = 0.3
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == "True\n"
        os.kill(process.pid, signal.SIGSTOP)
        stopped = boot_seconds()
        while boot_seconds() < stopped + seconds:
            os.sched_yield()
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "False\n"
    finally:
        process.kill()
        process.communicate()
