"""What ``nightday-eval`` does once its arguments are understood: score, print tables, write files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightday.engines import load_engine
from nightday.engines.detection.detector import load_detector

from ..footage.scene import CLIPS, Image, Scene, SceneError, load_scene, write_picture
from .arguments import Arguments
from .baselines import TFL_LABELS, baseline_pictures
from .detection_scores import SURE, false_positives, read_boxes, score_detections
from .image_distances import FeatureMap
from .scorer import HeldOut, Scorer, keep_mask

# Column titles of the tables, by the names of the scores.
PAIRED = {
    "psnr": "PSNR, dB",
    "psnr_foreground": "foreground",
    "psnr_background": "background",
    "ssim": "SSIM",
    "ssim_foreground": "SSIM foreground",
    "feature_distance": "feature distance",
}
REAL = {
    "frechet": "Fréchet",
    "frechet_foreground": "Fréchet foreground",
    "frechet_white": "Fréchet whitened",
    "frechet_white_foreground": "foreground",
    "kernel": "kernel",
    "kernel_foreground": "kernel foreground",
    "to_x_ref": "background PSNR to x_ref, dB",
}
VIDEO = {"warped_error": "warped error", "background_std": "background std"}
DETECTION = {
    "ap50": "AP50",
    "recall": "recall",
    "recall_small": "small",
    "recall_medium": "medium",
    "recall_large": "large",
    "false_positives": "false positives a picture without boxes",
}


def evaluate(arguments: Arguments) -> None:
    """Score the checkpoints, print the tables and write what is asked for.

    Raises:
        NightdayError, ImportError, ValueError, OSError: something given cannot be used; one line.
    """
    folder = arguments.pairs or arguments.real
    assert folder is not None
    scene = load_scene(folder)
    labels = [*arguments.label, *(TFL_LABELS if arguments.tfl_labels else ())]
    test = _held_out(scene, folder, paired=arguments.pairs is not None, keep_out=labels)
    scorer = Scorer(test, FeatureMap(arguments.vgg), rounds=arguments.rounds)
    detected = _detection(arguments, test)
    scores = [
        {"method": name, **scorer.full(pictures), **detected(pictures)}
        for name, pictures in baseline_pictures(test).items()
    ]
    if arguments.detector:
        scores.append({"method": "the true day", **detected(test.truth or [])})
    for path in arguments.checkpoint:
        outputs = translate_all(load_engine(path, backend=arguments.backend), test.nights)
        scores.append({"method": str(path), **scorer.full(outputs), **detected(outputs)})
        if arguments.pictures:
            target = arguments.pictures / f"{path.parent.name}-{path.stem}.png"
            columns = [test.nights, outputs] if test.truth is None else [test.nights, outputs, test.truth]
            write_picture(target, side_by_side(*columns))
    _print(scores, scorer)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(scores, indent=1) + "\n")


def side_by_side(*columns: Sequence[Image], rows: int = 3) -> Image:
    """A few moments, spread over the clip, one per row; uint8 RGB."""
    picks = np.linspace(0, len(columns[0]) - 1, min(rows, len(columns[0]))).round().astype(int)
    return np.vstack([np.hstack([column[i] for column in columns]) for i in picks])


def table(scores: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    """The named scores as a Markdown table, a row for each method that has them; "" where none has any."""
    scores = [s for s in scores if any(name in s for name in columns)]
    columns = {name: title for name, title in columns.items() if any(name in s for s in scores)}
    if not columns:
        return ""

    def cell(value: Any) -> str:
        if isinstance(value, dict):
            return f"{value['value']:.3g} [{value['low']:.3g}, {value['high']:.3g}]"
        return f"{value:.2f}" if value >= 1 else f"{value:.3f}"

    lines = ["| method | " + " | ".join(columns.values()) + " |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {s['method']} | " + " | ".join(cell(s[name]) for name in columns) + " |" for s in scores]
    return "\n".join(lines)


def _detection(arguments: Arguments, test: HeldOut) -> Callable[[Sequence[Image]], dict[str, float]]:
    """A function from pictures of the test's moments to their detection scores; none without a detector."""
    if arguments.detector is None or arguments.boxes is None:
        return lambda _: {}
    detect = load_detector(arguments.detector, confidence=0.001)
    given = read_boxes(arguments.boxes)
    boxes = [given.get(i, np.zeros((0, 4))) for i in range(len(test.nights))]
    if not any(len(one) for one in boxes):
        raise SceneError(
            f"{arguments.boxes}: no box of frames 0 to {len(boxes) - 1}, which are those of --pairs"
        )
    empty = [i for i, one in enumerate(boxes) if not len(one)]

    def scores(pictures: Sequence[Image]) -> dict[str, float]:
        found = asdict(score_detections(detect, pictures, boxes))
        if empty:
            found["false_positives"] = false_positives(detect, [pictures[i] for i in empty], test.keep)
        return found

    return scores


def _held_out(
    scene: Scene, folder: Path, *, paired: bool, keep_out: Sequence[tuple[int, int, int, int]]
) -> HeldOut:
    if paired and len(scene.night) != len(scene.day):
        raise SceneError(
            f"{folder}: {len(scene.night)} nights but {len(scene.day)} days; they must be pairs (else: --real)"
        )
    clip = any(path.suffix.lower() in CLIPS for path in (folder / "night").iterdir())
    return HeldOut(
        nights=scene.night,
        truth=scene.day if paired else None,
        real=scene.day,
        background=scene.background,
        keep=keep_mask(scene.background.shape, keep_out),
        video=clip,
    )


def _print(scores: list[dict[str, Any]], scorer: Scorer) -> None:
    tables = [
        ("To the true day", PAIRED),
        (f"To real days; distances in features of {scorer.features.name}, 95 % intervals", REAL),
        ("Over time, grey levels", VIDEO),
        (f"What the detector finds (recall and false positives at confidence {SURE:g})", DETECTION),
    ]
    print("\n\n".join(f"{title}\n\n{text}" for title, columns in tables if (text := table(scores, columns))))
    own = scores[0]
    if "warped_error_night" in own:
        print(
            f"\nthe nights' own: warped error {own['warped_error_night']:.2f}, "
            f"background std {own['background_std_night']:.2f}"
        )


def translate_all(
    engine: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], frames: Sequence[Image]
) -> list[Image]:
    """One frame at a time, as a camera delivers them."""
    return [engine(frame[None])[0] for frame in frames]
