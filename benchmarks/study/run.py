"""Runs of the study. Each is written to its table when it ends, so the study can be stopped and resumed."""

from __future__ import annotations

import logging
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.judges.features import PooledFeatures
from benchmarks.study.methods import METHODS, Budget, Method, translate
from benchmarks.study.scenes import StudyScene
from benchmarks.study.table import Run, read_runs, write_run
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.train.footage.scene import Image, write_picture
from nightday.train.scores.scorer import Scorer

log = logging.getLogger("study")

# The test nights whose pictures are kept, as positions in the test part (0 is its start, 1 its end).
SHOWN = (0.1, 0.5, 0.9)
# How often a run is scored during training. The best of these scores is reported beside the last one.
LOOKS = 4

# A scene, a method and a seed; the seed is None where nothing is trained.
Job = tuple[str, str, int | None]


def run_folder(runs: Path, scene: str, method: str, seed: int | None) -> Path:
    """Where a training run's checkpoint lies."""
    return runs / f"{scene}.{method}.{seed}"


def run_one(
    scene: StudyScene,
    scorer: Scorer,
    method: Method,
    budget: Budget,
    seed: int | None,
    *,
    table: Path,
    runs: Path,
    outside: PooledFeatures | None = None,
) -> Run:
    """Train where there is something to train, score, and write the result into the table.

    Args:
        scene: what to train on and to test on.
        scorer: the scene's scorer.
        method: what to run.
        budget: the training's steps and settings.
        seed: of the training; None where nothing is trained.
        table: the file that takes the result.
        runs: the folder for the checkpoint and the pictures.
        outside: features of a network that no method was trained with, for a second Fréchet distance.

    Returns:
        The result as it was before rounding.
    """
    course: list[dict[str, float]] = []
    started = time.monotonic()
    result: Run = {
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
        folder = run_folder(runs, scene.key, method.key, seed)
        learner = method.train(scene.train, budget, seed, folder)
        training = 0.0
        for step in range(1, budget.steps + 1):
            began = time.monotonic()
            learner.run_step()
            training += time.monotonic() - began
            if step * LOOKS % budget.steps == 0:
                pictures = translate(learner.model, scene.test.nights, scene.train)
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
        **_scores(scorer, pictures, outside),
        "hardware": hardware(budget.device),
        "seconds": round(time.monotonic() - started, 1),
    }
    _keep_pictures(scene, method, seed, pictures, runs)
    write_run(table, result)
    return result


def score_again(
    scene: StudyScene,
    scorer: Scorer,
    method: Method,
    seed: int | None,
    *,
    table: Path,
    runs: Path,
    outside: PooledFeatures | None = None,
) -> Run:
    """Score a run's last step anew, from its checkpoint if it was trained; the rest of its result stays."""
    if method.apply is not None:
        apply = method.apply(scene.train)
        pictures = [apply(night) for night in scene.test.nights]
    else:
        model = load_checkpoint(run_folder(runs, scene.key, method.key, seed) / "model.pt")
        pictures = translate(model, scene.test.nights, scene.train)
    result = read_runs(table)[scene.key, method.key, seed] | _scores(scorer, pictures, outside)
    write_run(table, result)
    return result


def _scores(scorer: Scorer, pictures: list[Image], outside: PooledFeatures | None) -> dict[str, Any]:
    final = scorer.full(pictures)
    told = {"features": scorer.features.name}
    if outside is not None:
        final["frechet_outside"] = outside.distance(pictures, scorer.test.real)
        told["outside_features"] = outside.name
    return {"final": final, "floor": scorer.floor, **told}


def _keep_pictures(
    scene: StudyScene, method: Method, seed: int | None, pictures: list[Image], runs: Path
) -> None:
    """Write a few outputs of the first seed, which the report puts into its picture sheets."""
    if seed in (None, 0):
        for path, share in zip(picture_paths(runs, scene.key, method.key), SHOWN, strict=True):
            write_picture(path, pictures[round(share * (len(pictures) - 1))])


def picture_paths(runs: Path, scene: str, method: str) -> list[Path]:
    """Where the outputs of a method's first seed lie, one for each of ``SHOWN``."""
    return [runs / "pictures" / f"{scene}.{method}.{number}.png" for number in range(len(SHOWN))]


def hardware(device: str) -> str:
    """The processor or GPU, its instruction set, the threads and the version of PyTorch."""
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
    table: Path, scenes: list[str], methods: list[str], seeds: list[int], *, done: bool = False
) -> list[Job]:
    """The jobs that have no result in the table yet, or with ``done`` those that have one.

    Their order: every method on every scene with the first seed, then with the next seed.
    """
    finished = read_runs(table)
    jobs: list[Job] = []
    for seed in seeds:
        for method in methods:
            for scene in scenes:
                trained = METHODS[method].train is not None
                job = (scene, method, seed if trained else None)
                if (trained or seed == seeds[0]) and (job in finished) == done:
                    jobs.append(job)
    return jobs
