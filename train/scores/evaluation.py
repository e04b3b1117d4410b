"""What ``nightday-eval`` does once its arguments are understood: score, print tables, write files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nightday.engines import load_engine
from nightday.engines.detection.detector import Detector, load_detector
from nightday.engines.model.checkpoint import read_checkpoint

from ..footage.evidence import LEAST_NIGHTS, night_background
from ..footage.files import is_picture, part_files
from ..footage.labels import labels_of
from ..footage.scene import (
    Image,
    Scene,
    SceneError,
    brief,
    load_scene,
    read_background,
    write_picture,
)
from ..progress import Steps, showing
from .arguments import Arguments
from .baselines import TFL_LABELS, baseline_pictures
from .detection_scores import SURE, Boxes, false_positives, read_boxes, score_detections
from .image_distances import FeatureMap, require_ssim
from .scorer import IDENTICAL, HeldOut, Scorer, keep_mask
from .things import nights_shown

# The file in a folder that holds n_ref; without it the nights' own median is taken.
NIGHT_BACKGROUND = "night_background.png"

# Column titles of the tables, by the names of the scores.
PAIRED = {
    "psnr": "PSNR, dB ↑",
    "psnr_foreground": "foreground ↑",
    "psnr_background": "background ↑",
    "ssim": "SSIM ↑",
    "ssim_foreground": "SSIM foreground ↑",
    "feature_distance": "feature distance ↓",
}
REAL = {
    "frechet": "Fréchet ↓",
    "frechet_foreground": "Fréchet foreground ↓",
    "frechet_white": "Fréchet whitened ↓",
    "frechet_white_foreground": "foreground ↓",
    "kernel": "kernel ↓",
    "kernel_foreground": "kernel foreground ↓",
    "to_x_ref": "background PSNR to x_ref, dB ↑",
}
SHOWN = {
    "things": "things",
    "shown": "of them shown ↑",
    "hidden": "large ones hidden ↓",
    "still": "PSNR to x_ref where nothing is, dB ↑",
    "still_worst": "worst picture, dB ↑",
    "off": "off by more than 20 levels ↓",
}
VIDEO = {"warped_error": "warped error ↓", "background_std": "background std ↓"}
DETECTION = {
    "ap50": "AP50 ↑",
    "recall": "recall ↑",
    "recall_small": "small ↑",
    "recall_medium": "medium ↑",
    "recall_large": "large ↑",
    "false_positives": "false positives a picture without boxes ↓",
}
# Shares, which are printed in per cent.
_SHARES = ("shown", "off")


def evaluate(arguments: Arguments) -> None:
    """Score the checkpoints, print the tables and write what is asked for.

    Raises:
        NightdayError, ImportError, ValueError, OSError: something given cannot be used; one line.
    """
    with showing() as steps:
        # Reading and scoring take minutes: what may be missing comes first.
        steps.begin("checking what was given")
        if arguments.pairs is not None:
            require_ssim()
        for path in arguments.checkpoint:
            read_checkpoint(path)
        detector = None
        if arguments.detector is not None and arguments.boxes is not None:
            detector = load_detector(arguments.detector, confidence=0.001), read_boxes(arguments.boxes)
        features = FeatureMap(arguments.vgg)
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            if arguments.json.is_dir():
                raise IsADirectoryError(f"--json {arguments.json}: is a folder; give a file in it")
        test = _read(arguments, steps)
        steps.begin("finding what the scores compare with")
        scorer = Scorer(test, features, rounds=arguments.rounds)
        detected, seen = _detection(arguments, detector, test), _shown(arguments, test)

        def beside(pictures: Sequence[Image]) -> dict[str, float]:
            return seen(pictures) | detected(pictures)

        scores = _scores(arguments, test, scorer, beside, steps)
    _print(scores, scorer)
    if arguments.json:
        arguments.json.write_text(json.dumps(scores, indent=1) + "\n")


def _read(arguments: Arguments, steps: Steps) -> HeldOut:
    folder = arguments.pairs or arguments.real
    assert folder is not None
    steps.begin(f"reading {folder}")
    scene = load_scene(folder, progress=steps.passed)
    labels = [*arguments.label, *(TFL_LABELS if arguments.tfl_labels else ())]
    if scene.left_out and arguments.pairs is not None:
        raise SceneError(f"{brief(scene.left_out)}; without it night and day would not be the same moments")
    for text in scene.passed_over:
        steps.warn(f"{folder}: {text}")
    if scene.left_out:
        steps.warn(brief(scene.left_out))
    test = _held_out(scene, folder, paired=arguments.pairs is not None, keep_out=labels)
    if test.night_background is None:
        steps.warn(
            f"{folder}: {len(scene.night)} nights are too few for a background by night, so that the relit paste and "
            f"what is shown are missing; give {LEAST_NIGHTS} or {folder / NIGHT_BACKGROUND}"
        )
    return test


def _scores(
    arguments: Arguments,
    test: HeldOut,
    scorer: Scorer,
    beside: Callable[[Sequence[Image]], dict[str, float]],
    steps: Steps,
) -> list[dict[str, Any]]:
    """The scores of the baselines, of the true day where there is a detector, and of the checkpoints."""
    scores: list[dict[str, Any]] = []

    def add(name: str, pictures: Sequence[Image]) -> None:
        steps.begin(f"scoring {name}")
        scores.append({"method": name, **scorer.full(pictures), **beside(pictures)})

    steps.begin("finding the best gamma and CLAHE")
    for name, pictures in baseline_pictures(test).items():
        add(name, pictures)
    if arguments.detector:
        scores.append({"method": "the true day", **beside(test.truth or [])})
    for path in arguments.checkpoint:
        steps.begin(f"loading an engine for {path}")
        engine = load_engine(path, backend=arguments.backend)
        nights = steps.each(f"translating with {path}", test.nights, len(test.nights))
        outputs = translate_all(engine, nights, test)
        add(str(path), outputs)
        if arguments.pictures:
            target = arguments.pictures / f"{path.parent.name}-{path.stem}.png"
            columns = [test.nights, outputs] if test.truth is None else [test.nights, outputs, test.truth]
            write_picture(target, side_by_side(*columns))
    return scores


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

    def cell(name: str, value: Any) -> str:
        if isinstance(value, dict):
            return f"{value['value']:.3g} [{value['low']:.3g}, {value['high']:.3g}]"
        if value is None or value != value:
            return "–"
        if isinstance(value, int):
            return str(value)
        if name in _SHARES:
            return f"{value:.1%}"
        if "dB" in columns[name] and value >= IDENTICAL:
            return "identical"
        return f"{value:.2f}" if value >= 1 else f"{value:.3f}"

    lines = ["| method | " + " | ".join(columns.values()) + " |", "|---|" + "---:|" * len(columns)]
    lines += [
        f"| {s['method']} | " + " | ".join(cell(name, s.get(name)) for name in columns) + " |" for s in scores
    ]
    return "\n".join(lines)


def _detection(
    arguments: Arguments, detector: tuple[Detector, dict[int, Boxes]] | None, test: HeldOut
) -> Callable[[Sequence[Image]], dict[str, float]]:
    """A function from pictures of the test's moments to their detection scores; none without a detector."""
    if detector is None:
        return lambda _: {}
    detect, given = detector
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


def _shown(arguments: Arguments, test: HeldOut) -> Callable[[Sequence[Image]], dict[str, float]]:
    """A function from pictures of real nights to what they show of them; of pairs the truth tells more."""
    n_ref = test.night_background
    if arguments.real is None or n_ref is None:
        return lambda _: {}
    files = part_files(arguments.real, "night")
    labels = labels_of(files, test.background.shape) if len(files) == len(test.nights) else []

    def scores(pictures: Sequence[Image]) -> dict[str, float]:
        found = nights_shown(
            test.nights, pictures, x_ref=test.background, n_ref=n_ref, boxes=labels, keep=test.keep
        )
        return {
            "things": len(found.things),
            "shown": found.share,
            "hidden": len(found.hidden),
            "still": float(np.nanmean(found.output)),
            "still_worst": float(np.nanmin(found.output)),
            "off": found.off,
            "labelled": found.labelled,
        }

    return scores


def _held_out(
    scene: Scene, folder: Path, *, paired: bool, keep_out: Sequence[tuple[int, int, int, int]]
) -> HeldOut:
    if paired and len(scene.night) != len(scene.day):
        raise SceneError(
            f"{folder}: {len(scene.night)} nights but {len(scene.day)} days; they must be pairs (else: --real)"
        )
    clip = not all(map(is_picture, part_files(folder, "night")))
    given = folder / NIGHT_BACKGROUND
    known = read_background(given) if given.is_file() else night_background(scene.night)
    if known is not None and known.shape != scene.background.shape:
        raise SceneError(f"{given}: is not of the size of the pictures; give one of their size")
    return HeldOut(
        nights=scene.night,
        truth=scene.day if paired else None,
        real=scene.day,
        background=scene.background,
        keep=keep_mask(scene.background.shape, keep_out),
        video=clip,
        night_background=known,
    )


def _print(scores: list[dict[str, Any]], scorer: Scorer) -> None:
    tables = [
        ("To the true day", PAIRED),
        (
            f"To real days; distances in features of {scorer.features.name}, with their 95 % interval [from, to]",
            REAL,
        ),
        (f"What is shown of the nights, {_how(scores)}; none of it tells without the others", SHOWN),
        ("Over time, grey levels", VIDEO),
        (f"What the detector finds (recall and false positives at confidence {SURE:g})", DETECTION),
    ]
    print("↑ higher is better, ↓ lower is better; identical: without any error\n")
    print("\n\n".join(f"{title}\n\n{text}" for title, columns in tables if (text := table(scores, columns))))
    own = scores[0]
    if "warped_error_night" in own:
        print(
            f"\nthe nights' own: warped error {own['warped_error_night']:.2f}, "
            f"background std {own['background_std_night']:.2f}"
        )


def _how(scores: list[dict[str, Any]]) -> str:
    return (
        "by their labels"
        if any(s.get("labelled") for s in scores)
        else "by what differs from the background by night"
    )


def translate_all(engine: Any, frames: Iterable[Image], test: HeldOut) -> list[Image]:
    """One frame at a time, as a camera delivers them, with the test's backgrounds for an engine that needs them.

    Raises:
        SceneError: it needs them, and there is none by night.
    """
    if not getattr(engine, "needs_backgrounds", False):
        return [engine(frame[None])[0] for frame in frames]
    if test.night_background is None:
        raise SceneError(
            f"the model needs a background by night: give {LEAST_NIGHTS} nights or more, or {NIGHT_BACKGROUND}"
        )
    given = {"day_background": test.background[None], "night_background": test.night_background[None]}
    return [engine(frame[None], **given)[0] for frame in frames]
