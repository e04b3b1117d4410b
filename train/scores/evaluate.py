"""``nightday-eval``: checkpoints against truth or real days, beside the trivial answers nobody lists."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines import Backend, CheckpointError, EngineError, load_engine
from nightday.engines.detection.detector import load_detector
from nightday.engines.errors import DetectorError

from ..footage.foreground import foreground_mask
from ..footage.scene import CLIPS, Image, Scene, SceneError, load_scene, write_picture
from ..objectives.vgg import VggWeightsError
from .detection_scores import SURE, false_positives, read_boxes, score_detections
from .image_distances import FeatureMap
from .scorer import Box, HeldOut, Psnr, Scorer, keep_mask, psnr

GAMMAS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.33, 0.25, 0.2, 0.15)  # exponents
CLAHE_CLIPS = (2.0, 4.0, 8.0, 16.0, 40.0)

# Burned-in clock, number, logo and name of TfL's cameras at 352×288: (left, top, right, bottom), pixels. A
# background keeps them, so that every score would count them as understood.
TFL_LABELS = ((0, 0, 126, 16), (30, 28, 86, 52), (258, 0, 352, 38), (80, 268, 270, 288))

# Column titles of the tables, by the names of the scores.
PAIRED = {
    "psnr": "PSNR, dB", "psnr_foreground": "foreground", "psnr_background": "background", "ssim": "SSIM",
    "ssim_foreground": "SSIM foreground", "feature_distance": "feature distance",
}  # fmt: skip
REAL = {
    "frechet": "Fréchet", "frechet_foreground": "Fréchet foreground", "frechet_white": "Fréchet whitened",
    "frechet_white_foreground": "foreground", "kernel": "kernel",
    "kernel_foreground": "kernel foreground", "to_x_ref": "background PSNR to x_ref, dB",
}  # fmt: skip
VIDEO = {"warped_error": "warped error", "background_std": "background std"}
DETECTION = {
    "ap50": "AP50", "recall": "recall", "recall_small": "small", "recall_medium": "medium",
    "recall_large": "large", "false_positives": "false positives a picture without boxes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Score:
    """One method's PSNR to the truth; see ``Psnr``."""

    method: str
    whole: float
    foreground: float
    background: float


def score(
    method: str,
    pictures: Sequence[Image],
    truth: Sequence[Image],
    background: Image,
    *,
    labels: Sequence[Box] = (),
) -> Score:
    """PSNR of ``pictures`` to ``truth``, uint8 RGB (H, W, 3) each; the foreground is taken from the truth."""
    moving = [foreground_mask(day, background) for day in truth]
    found: Psnr = psnr(pictures, truth, moving, keep_mask(background.shape, labels))
    return Score(method, found.whole, found.foreground, found.background)


def gamma(night: Image, exponent: float) -> Image:
    """The night image raised to ``exponent``."""
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return table[night]


def clahe(night: Image, clip: float) -> Image:
    """Contrast-limited adaptive histogram equalisation of the lightness, 8×8 tiles."""
    lab = cv2.cvtColor(night, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=clip, tileGridSize=(8, 8)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.uint8)


def gamma_to(nights: Sequence[Image], days: Sequence[Image]) -> float:
    """The exponent that brings nights nearest to the mean brightness of days."""
    day = np.mean([image.mean() for image in days])
    return min(GAMMAS, key=lambda g: abs(np.mean([gamma(night, g).mean() for night in nights]) - day))


def baseline_scores(
    night: Sequence[Image], day: Sequence[Image], background: Image, *, labels: Sequence[Box] = ()
) -> list[Score]:
    """The night itself, gamma and CLAHE at their best foreground score on these very frames, and x_ref."""

    def best(name: str, make: Callable[[Image, float], Image], values: Sequence[float]) -> Score:
        tried = [
            score(
                f"{name} {v:g} (best of {len(values)})",
                [make(n, v) for n in night],
                day,
                background,
                labels=labels,
            )
            for v in values
        ]
        return max(tried, key=lambda s: s.foreground)

    return [
        score("night", night, day, background, labels=labels),
        best("gamma", gamma, GAMMAS),
        best("CLAHE", clahe, CLAHE_CLIPS),
        score("output x_ref", [background] * len(day), day, background, labels=labels),
    ]


def baseline_pictures(test: HeldOut) -> dict[str, list[Image]]:
    """What needs no model, by name. Gamma and CLAHE are given their best: foreground PSNR to the truth where there is
    one, else gamma to the real days' brightness and a clip of 4.
    """
    exponent, clip = gamma_to(test.nights, test.real), 4.0
    if test.truth is not None:
        moving = test.foreground()

        def foreground(make: Callable[[Image, float], Image], value: float) -> float:
            assert test.truth is not None
            return psnr([make(n, value) for n in test.nights], test.truth, moving, test.keep).foreground

        exponent = max(GAMMAS, key=lambda g: foreground(gamma, g))
        clip = max(CLAHE_CLIPS, key=lambda c: foreground(clahe, c))
    return {
        "night": list(test.nights),
        f"gamma {exponent:g} (best of {len(GAMMAS)})": [gamma(n, exponent) for n in test.nights],
        f"CLAHE {clip:g}": [clahe(n, clip) for n in test.nights],
        "output x_ref": [test.background] * len(test.nights),
    }


def side_by_side(*columns: Sequence[Image], rows: int = 3) -> Image:
    """A few moments, spread over the clip, one a row; uint8 RGB."""
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


def main(argv: list[str] | None = None) -> int:
    """Score checkpoints on a folder of test pictures; exit 0 when done, 2 when an argument is wrong."""
    args = _parse(argv)
    try:
        folder = args.pairs or args.real
        scene = load_scene(folder)
        test = _held_out(scene, folder, paired=args.pairs is not None, labels=_labels(args))
        scorer = Scorer(test, FeatureMap(args.vgg), rounds=args.rounds)
        seen = _detection(args, test)
        scores = [
            {"method": name, **scorer.full(pictures), **seen(pictures)}
            for name, pictures in baseline_pictures(test).items()
        ]
        if args.detector:
            scores.append({"method": "the true day", **seen(test.truth or [])})
        for path in args.checkpoint:
            outputs = translate_all(load_engine(path, backend=args.backend), test.nights)
            scores.append({"method": str(path), **scorer.full(outputs), **seen(outputs)})
            if args.pictures:
                target = args.pictures / f"{path.parent.name}-{path.stem}.png"
                shown = [test.nights, outputs] if test.truth is None else [test.nights, outputs, test.truth]
                write_picture(target, side_by_side(*shown))
        _report(scores, scorer)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(scores, indent=1) + "\n")
    except (
        SceneError, CheckpointError, EngineError, VggWeightsError, DetectorError, ImportError, ValueError, OSError
    ) as error:  # fmt: skip
        print(f"nightday-eval: {error}", file=sys.stderr)
        return 2
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="nightday-eval",
        description="Score checkpoints beside the trivial answers: PSNR, SSIM and feature distance to the true day, "
        "Fréchet and kernel distance to real days with 95 % intervals, steadiness over time.",
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, nargs="+", required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--pairs",
        type=Path,
        help="folder with night/ and day/, the same moments in the same order, and background.png",
    )
    which.add_argument(
        "--real",
        type=Path,
        help="folder with night/ and day/ of one camera, not the same moments, and perhaps background.png",
    )
    add("--backend", default="auto", choices=get_args(Backend))
    add(
        "--label", type=int, nargs=4, action="append", metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), default=[],
        help="pixels of a burned-in label, left out of every score; may be given again",
    )  # fmt: skip
    add("--tfl-labels", action="store_true", help="leave TfL's burned-in labels out (352×288)")
    add(
        "--vgg", default="orthogonal",
        help="features behind the distances: orthogonal (random, no file), imagenet (downloads), or a path",
    )  # fmt: skip
    add(
        "--detector", type=Path,
        help="an ultralytics model, scored on the true day, the night and the outputs of --pairs; wants --boxes",
    )  # fmt: skip
    add(
        "--boxes",
        type=Path,
        help="CSV with frame (from 0), x1, y1, x2, y2 of what stands in each day picture",
    )
    add("--rounds", type=int, default=20, help="of the bootstrap behind the intervals; 1 for none")
    add("--pictures", type=Path, help="write a few night, output, truth rows there, a PNG a checkpoint")
    add("--json", type=Path, help="write the scores there too")
    args = parser.parse_args(argv)
    if (args.detector is None) != (args.boxes is None):
        parser.error("--detector and --boxes go together")
    if args.detector is not None and args.pairs is None:
        parser.error("--detector wants --pairs: boxes belong to day pictures of the same moments")
    return args


def _detection(args: argparse.Namespace, test: HeldOut) -> Callable[[Sequence[Image]], dict[str, float]]:
    """What gives the detection scores of pictures of the test's moments; no scores without a detector."""
    if args.detector is None:
        return lambda _: {}
    detect = load_detector(args.detector, confidence=0.001)
    given = read_boxes(args.boxes)
    boxes = [given.get(i, np.zeros((0, 4))) for i in range(len(test.nights))]
    if not any(len(one) for one in boxes):
        raise SceneError(f"{args.boxes}: no box of frames 0 to {len(boxes) - 1}, which are those of --pairs")
    empty = [i for i, one in enumerate(boxes) if not len(one)]

    def scores(pictures: Sequence[Image]) -> dict[str, float]:
        found = asdict(score_detections(detect, pictures, boxes))
        if empty:
            found["false_positives"] = false_positives(detect, [pictures[i] for i in empty], test.keep)
        return found

    return scores


def _labels(args: argparse.Namespace) -> list[Box]:
    given: list[Box] = [(box[0], box[1], box[2], box[3]) for box in args.label]
    return [*given, *(TFL_LABELS if args.tfl_labels else ())]


def _held_out(scene: Scene, folder: Path, *, paired: bool, labels: Sequence[Box]) -> HeldOut:
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
        keep=keep_mask(scene.background.shape, labels),
        video=clip,
    )


def _report(scores: list[dict[str, Any]], scorer: Scorer) -> None:
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


if __name__ == "__main__":
    raise SystemExit(main())
