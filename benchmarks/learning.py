"""A camera's own model, by itself: one real round, and what training costs the cameras beside it.

    python -m benchmarks.learning round --json benchmarks/results/learning_round.json
    python -m benchmarks.learning beside --json benchmarks/results/learning_beside.json

``round`` trains and judges as ``nightday-stream`` does, on the bundled day clip and three nights simulated of it,
stored as if collected over days. ``beside`` runs four cameras of the bundled night clip in the real program, with
such a training and without it in turns, each for as long as latencies are remembered, and reads their rate and the
95th percentile of their latency from ``/api/cameras``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.demo_scene import CLIP, Image
from benchmarks.program import program
from nightday.engines.bundled import bundled_clips, bundled_weights
from nightday.engines.cache import machine
from nightday.engines.cores import processors
from nightday.pipeline.learning import rounds
from nightday.pipeline.learning.background_process import BackgroundProcess
from nightday.pipeline.learning.camera_learning import MODULE
from nightday.pipeline.scene.training_pictures import picture_path
from nightday.train.footage.night_conditions import random_conditions
from nightday.train.footage.night_simulator import darken
from nightday.train.footage.scene import read_frames, temporal_median

CAMERAS = 4
# p95 and rate beside a training, as a share of those without.
BAR = 0.10
DAY = 86_400
# Seconds of a turn; latencies are remembered for 40 at 25 fps. The first few belong to the turn before.
TURN_S, SETTLE_S = 60.0, 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit 1 if the round was not won or the bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning")
    parser.add_argument("what", choices=("round", "beside"))
    parser.add_argument("--steps", type=int, default=1500, help="of the training")
    parser.add_argument("--turns", type=int, default=3, help="with the training, and as many without")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args(argv)
    figures: dict[str, Any] = {
        "command": f"python -m benchmarks.learning {args.what}",
        "date": datetime.date.today().isoformat(),
        "hardware": f"{machine.cpu()}; {processors()} processors",
        "python": platform.python_version(),
        "load average before": round(os.getloadavg()[0], 1),
        "steps": args.steps,
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        begin_round(work, steps=args.steps)
        good = one_round(work, args.steps, figures) if args.what == "round" else beside(work, args, figures)
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 0 if good else 1


def begin_round(work: Path, *, steps: int) -> None:
    """Store pictures as if collected, a day and a night in turns, and have the program's own rules begin a round."""
    frames = read_frames(CLIP)
    background = temporal_median(frames)
    pictures, now = work / "pictures", 1_790_000_000
    for number in range(3):
        start = now - (3 - number) * DAY
        _store(pictures / "day", frames[number::6], start, every=600)
        rng = np.random.default_rng(number)
        nights = [*darken(frames[number + 3 :: 24], background, random_conditions(rng), rng)]
        _store(pictures / "night", nights, start + DAY // 2, every=600)
    day, night = rounds.seconds_of(pictures, since=0)
    taken = rounds.choose(day, night, now=now)
    if isinstance(taken, rounds.Missing):
        raise SystemExit(f"the pictures are not enough for a round: {taken.text}")
    rounds.begin(work / "round", pictures, taken, plan={"number": 1, "steps": steps})


def _store(folder: Path, pictures: Sequence[Image], start: int, *, every: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        path = picture_path(folder, start + number * every)
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])


def train(work: Path, steps: int) -> BackgroundProcess:
    """The training as the program starts it: one thread, the lowest priority."""
    words = [str(work / "round"), f"--steps={steps}", "--threads=1", "--device=cpu"]
    return BackgroundProcess(MODULE, words, log=work / "round.log")


def one_round(work: Path, steps: int, figures: dict[str, Any]) -> bool:
    """Train and judge; whether the new model won."""
    began = time.monotonic()
    training = train(work, steps)
    while (status := training.status()) is None:
        time.sleep(1.0)
    if status:
        raise SystemExit(training.last_words())
    figures["seconds"] = round(time.monotonic() - began)
    judgement = rounds.judgement_of(work / "round")
    assert judgement is not None
    figures |= judgement
    return judgement["won"] is True


def beside(work: Path, args: argparse.Namespace, figures: dict[str, Any]) -> bool:
    """Four cameras with and without a training; whether it costs no more than ``BAR``."""
    clip, model = bundled_clips() / "night_a1_barnet_simulated.mp4", bundled_weights("a1_barnet.pt")
    cameras = [
        {"name": f"camera-{number}", "url": str(clip), "outputs": [str(work / f"{number}-%H%M%S.mp4")]}
        for number in range(CAMERAS)
    ]
    settings = {"model": str(model), "translate": "always", "loop": True, "pace": "realtime"}
    turns: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    with program(cameras, work, **settings) as (address, _):
        _wait_for_engine(address)
        time.sleep(SETTLE_S)
        for _ in range(args.turns):
            turns["without"].append(_turn(address))
            training = train(work, 10**6)
            try:
                _wait_for_steps(work, training)
                turns["with"].append(_turn(address))
                share = rounds.progress_of(work / "round", 10**6)[0]
                figures["training steps meanwhile"] = round(share * 10**6)
            finally:
                training.stop(10.0)
    figures["turns"] = turns
    figures["load average after"] = round(os.getloadavg()[0], 1)
    rate, late = (
        statistics.median(one[key] for one in turns["with"])
        / statistics.median(one[key] for one in turns["without"])
        for key in ("fps", "p95_ms")
    )
    figures["with / without"] = {"fps": round(rate, 3), "p95_ms": round(late, 3)}
    figures["bar"] = f"within {BAR:.0%}"
    return rate >= 1 - BAR and late <= 1 + BAR


def _turn(address: str) -> dict[str, float]:
    """Pictures a second of all cameras together, and the worst camera's p95."""
    time.sleep(SETTLE_S)
    before, began = _cameras(address), time.monotonic()
    time.sleep(TURN_S)
    after, seconds = _cameras(address), time.monotonic() - began
    came = sum(one["translated"] for one in after) - sum(one["translated"] for one in before)
    worst = max(float(one["latency_p95_ms"]) for one in after)
    print(f"{came / seconds:.1f} fps, p95 {worst:.0f} ms", file=sys.stderr)
    return {"fps": round(came / seconds, 2), "p95_ms": worst}


def _cameras(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{address}/api/cameras", timeout=10.0) as answer:
        return list(json.load(answer)["cameras"])


def _wait_for_engine(address: str, within: float = 300.0) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if all(one["translated"] > 50 for one in _cameras(address)):
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise SystemExit("the cameras are not translated")


def _wait_for_steps(work: Path, training: BackgroundProcess, within: float = 300.0) -> None:
    """Wait until it trains: it reads its pictures first."""
    log = work / "round" / rounds.RUN / "log.jsonl"
    size, end = log.stat().st_size if log.exists() else 0, time.monotonic() + within
    while not log.exists() or log.stat().st_size <= size:
        if training.status() is not None:
            raise SystemExit(training.last_words())
        if time.monotonic() > end:
            print("the training has not come to its first steps", file=sys.stderr)
            return
        time.sleep(0.5)


if __name__ == "__main__":
    raise SystemExit(main())
