"""One round of learning at a camera, as nightday-stream starts it beside the cameras: train, then judge.

``python -m nightday.train.round FOLDER`` finds the pictures in FOLDER/pictures and, kept back from training, in
FOLDER/held, with ``day`` and ``night`` in each. It leaves the run of ``nightday-train`` in FOLDER/run and what came
out in FOLDER/judgement.json. Killed at any moment and started again it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nightday.engines.bundled import bundled_weights
from nightday.engines.errors import NightdayError

from . import cli, threads

PICTURES, HELD, RUN, JUDGEMENT = "pictures", "held", "run", "judgement.json"
# By which the general model learns one camera in minutes; see docs/training.md.
LEARNING_RATE = "5e-4"


def main(argv: list[str] | None = None) -> int:
    """Train and judge; the exit status of ``nightday-train``."""
    parser = argparse.ArgumentParser(prog="python -m nightday.train.round", description=__doc__)
    parser.add_argument("folder", type=Path, help="the round's folder")
    parser.add_argument("--steps", type=int, required=True, help="steps to train")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="where to train")
    parser.add_argument("--running", type=Path, help="the camera's own model that serves at present")
    options = parser.parse_args(argv)
    folder: Path = options.folder
    words = [
        f"--scene={folder / PICTURES}",
        f"--out={folder / RUN}",
        "--recipe=blend",
        "--start-from=general",
    ]
    words += [f"--learning-rate={LEARNING_RATE}", f"--steps={options.steps}"]
    words += [f"--threads={options.threads}", f"--device={options.device}"]
    status = cli.main(words)
    if status:
        return status
    threads.apply(options.threads)
    rivals = {"the general model": bundled_weights("general.pt")}
    if options.running is not None:
        rivals["the model that serves"] = options.running
    try:
        _judge(folder, rivals)
    except (NightdayError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _judge(folder: Path, rivals: dict[str, Path]) -> None:
    # PyTorch comes in with these.
    from .footage.scene import load_scene
    from .scores.judge import judge

    scene, held = load_scene(folder / PICTURES), load_scene(folder / HELD)
    found = judge(scene, held.day, held.night, folder / RUN / "best.pt", rivals)
    content = {
        "won": found.won,
        "why": found.why,
        "standings": [_plain(asdict(one)) for one in found.standings],
    }
    part = folder / f"{JUDGEMENT}.part"
    with part.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / JUDGEMENT)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """NaN, which is no JSON, as None."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


if __name__ == "__main__":
    raise SystemExit(main())
