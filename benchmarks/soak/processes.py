"""The command killed while it records, and a reader that gets false answers, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from benchmarks.soak.run import Figures, percentile

ROOT = Path(__file__).parents[2]


def kill(arguments: argparse.Namespace, work: Path) -> Figures:
    """Kill the command while it records."""
    from tests.faults.test_recording import MAY_LOSE, kill_under_way

    rng = random.Random(arguments.seed)
    done = []
    for number in range(arguments.kills):
        folder = work / str(number)
        folder.mkdir()
        done.append(kill_under_way(folder, after=rng.uniform(0.1, 8.0)))
    lost = [each.lost for each in done]
    complaints = [each.complaints for each in done if each.complaints]
    return {
        "bar": f"at most {MAY_LOSE:g} s lost and every file plays, after each SIGKILL",
        "kills": len(done),
        "lost_s_p50": percentile(lost, 50),
        "lost_s_max": round(max(lost), 3),
        "files_with_complaints": len(complaints),
        "met": max(lost) <= MAY_LOSE and not complaints,
    }


def fuzz(arguments: argparse.Namespace, _work: Path) -> Figures:
    """Send false session descriptions and RTP to a reader in a child process."""
    seconds = arguments.minutes * 60
    command = [sys.executable, "-m", "tests.faults.rtsp_fuzz", "--seed", str(arguments.seed)]
    command += ["--seconds", str(seconds), "--settle", str(seconds / 4)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    told: Figures = json.loads(done.stdout) if done.returncode == 0 else {"stderr": done.stderr[-2000:]}
    return {
        "bar": "no crash; after the first quarter RSS grows < 1 MB, and what C holds < 0.1 MB",
        "returncode": done.returncode,
        **told,
        "met": bool(
            done.returncode == 0 and told["rss_growth"] < 1e6 and told["c_mb"][-1] - told["c_mb"][0] < 0.1
        ),
    }
