"""Runs of the study, each a JSON file of its own, so that it can be stopped and gone on with at any time."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.study.methods import METHODS, Budget, Method, translate
from benchmarks.study.scenes import StudyScene
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.train.footage.scene import Image, write_picture
from nightday.train.scores.scorer import Scorer

log = logging.getLogger("study")

RESULTS = Path(__file__).parents[1] / "results" / "study"
SHOWN = (0.1, 0.5, 0.9)  # test nights whose pictures are kept, as shares of the test part
LOOKS = 4  # times a run is scored on its way; the best of them is reported apart from the last


def result_path(results: Path, scene: str, method: str, seed: int | None) -> Path:
    """Where a run's result lies; trivial methods have no seed."""
    return results / f"{scene}.{method}{'' if seed is None else f'.{seed}'}.json"


def run_one(
    scene: StudyScene,
    scorer: Scorer,
    method: Method,
    budget: Budget,
    seed: int | None,
    *,
    results: Path,
    runs: Path,
) -> dict[str, Any]:
    """Train where there is something to train, score, and write the result; returns it."""
    course: list[dict[str, float]] = []
    started = time.monotonic()
    result: dict[str, Any] = {
        "scene": scene.key,
        "method": method.key,
        "seed": seed,
        "date": str(date.today()),
    }
    if method.train is None:
        assert method.apply is not None
        apply = method.apply(scene.train)
        pictures = [apply(night) for night in scene.test.nights]
    else:
        assert seed is not None
        folder = runs / f"{scene.key}.{method.key}.{seed}"
        learner = method.train(scene.train, budget, seed, folder)
        training = 0.0
        for step in range(1, budget.steps + 1):
            began = time.monotonic()
            learner.run_step()
            training += time.monotonic() - began
            if step * LOOKS % budget.steps == 0:
                pictures = translate(learner.model, scene.test.nights)
                course.append({"step": step, **scorer.brief(pictures)})
                log.info("%s %s %d: %s", scene.key, method.key, seed, course[-1])
        save_checkpoint(
            folder / "model.pt", learner.model, training={"scene": scene.key, "step": budget.steps}
        )
        result |= {
            "budget": budget.told(),
            "parameters": sum(p.numel() for p in learner.model.parameters()),
            "seconds_per_step": round(training / budget.steps, 4),
            "course": course,
            "best": min(course, key=lambda scores: scores["frechet"]),
        }
    result |= {
        **_scores(scorer, pictures),
        "hardware": hardware(budget.device),
        "seconds": round(time.monotonic() - started, 1),
    }
    _keep_pictures(scene, method, seed, pictures, results if scene.shippable else runs)
    _write(result_path(results, scene.key, method.key, seed), result)
    return result


def score_again(
    scene: StudyScene, scorer: Scorer, method: Method, seed: int | None, *, results: Path, runs: Path
) -> dict[str, Any]:
    """Score the last step anew, from its checkpoint where there is one; the rest of the result stays."""
    path = result_path(results, scene.key, method.key, seed)
    if method.apply is not None:
        apply = method.apply(scene.train)
        pictures = [apply(night) for night in scene.test.nights]
    else:
        model = load_checkpoint(runs / f"{scene.key}.{method.key}.{seed}" / "model.pt")
        pictures = translate(model, scene.test.nights)
    result = json.loads(path.read_text()) | _scores(scorer, pictures)
    _write(path, result)
    return result


def _scores(scorer: Scorer, pictures: list[Image]) -> dict[str, Any]:
    return {"final": scorer.full(pictures), "floor": scorer.floor, "features": scorer.features.name}


def _write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_rounded(result), indent=1) + "\n")
    os.replace(part, path)


def _keep_pictures(
    scene: StudyScene, method: Method, seed: int | None, pictures: list[Image], folder: Path
) -> None:
    """A few outputs, of the first seed; where pictures may not be published, in the runs' folder."""
    if seed in (None, 0):
        for number, share in enumerate(SHOWN):
            picture = pictures[round(share * (len(pictures) - 1))]
            write_picture(folder / "pictures" / f"{scene.key}.{method.key}.{number}.png", picture)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 5) if isinstance(value, float) else value


def hardware(device: str) -> str:
    """What ran it."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{model}, {capability}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


def pending(
    results: Path, scenes: list[str], methods: list[str], seeds: list[int], *, done: bool = False
) -> list[tuple[str, str, int | None]]:
    """What has no result yet, or with ``done`` what has one: a seed's methods on every scene, then the next's."""
    jobs: list[tuple[str, str, int | None]] = []
    for seed in seeds:
        for method in methods:
            for scene in scenes:
                trained = METHODS[method].train is not None
                job = (scene, method, seed if trained else None)
                if (trained or seed == seeds[0]) and result_path(results, *job).is_file() == done:
                    jobs.append(job)
    return jobs
