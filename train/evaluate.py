"""``nightday-eval``: a checkpoint against paired truth, beside the trivial answers nobody lists."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import CheckpointError, EngineError, load_engine
from train.data import Image, SceneError, load_scene, write_picture
from train.night import foreground_mask

GAMMAS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.33, 0.25, 0.2, 0.15)  # exponents
CLAHE_CLIPS = (2.0, 4.0, 8.0, 16.0, 40.0)

# Burned-in clock, number, logo and name of TfL's cameras at 352×288: (left, top, right, bottom), pixels. A
# background keeps them, so that every score would count them as understood.
TFL_LABELS = ((0, 0, 126, 16), (30, 28, 86, 52), (258, 0, 352, 38), (80, 268, 270, 288))

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Score:
    """PSNR in dB over all pixels of all frames together, labels left out.

    Attributes:
        method: what was scored.
        whole: every pixel.
        foreground: pixels where the true day differs from x_ref.
        background: the others.
    """

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
    keep = np.ones(background.shape[:2], bool)
    for left, top, right, bottom in labels:
        keep[top:bottom, left:right] = False
    error = np.zeros(2)
    count = np.zeros(2)
    for picture, day in zip(pictures, truth, strict=True):
        squared = ((picture.astype(np.float64) - day) ** 2).mean(axis=2)
        foreground = foreground_mask(day, background)
        for i, part in enumerate((foreground & keep, ~foreground & keep)):
            error[i] += squared[part].sum()
            count[i] += part.sum()
    return Score(
        method, *(_psnr(e, n) for e, n in ((error.sum(), count.sum()), *zip(error, count, strict=True)))
    )


def _psnr(squared_error: float, count: float) -> float:
    if count == 0:
        return float("nan")
    return float(10 * np.log10(255**2 / max(squared_error / count, 1e-12)))


def gamma(night: Image, exponent: float) -> Image:
    """The night image raised to ``exponent``."""
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return table[night]


def clahe(night: Image, clip: float) -> Image:
    """Contrast-limited adaptive histogram equalisation of the lightness, 8×8 tiles."""
    lab = cv2.cvtColor(night, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=clip, tileGridSize=(8, 8)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.uint8)


def trivial_scores(
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


def side_by_side(*columns: Sequence[Image], rows: int = 3) -> Image:
    """A few moments, spread over the clip, one a row; uint8 RGB."""
    picks = np.linspace(0, len(columns[0]) - 1, min(rows, len(columns[0]))).round().astype(int)
    return np.vstack([np.hstack([column[i] for column in columns]) for i in picks])


def table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table."""
    lines = ["| method | whole frame | foreground | background |", "|---|---:|---:|---:|"]
    lines += [f"| {s.method} | {s.whole:.2f} | {s.foreground:.2f} | {s.background:.2f} |" for s in scores]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Score checkpoints on a folder of pairs; exit 0 when done, 2 when an argument is wrong."""
    parser = argparse.ArgumentParser(
        prog="nightday-eval", description="PSNR to the true day (dB), beside the trivial answers."
    )
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--pairs",
        type=Path,
        required=True,
        help="folder with night/ and day/, the same moments in the same order, and background.png",
    )
    parser.add_argument("--backend", default="auto", choices=("auto", "eager", "openvino", "tensorrt"))
    parser.add_argument(
        "--tfl-labels", action="store_true", help="leave TfL's burned-in labels out (352×288)"
    )
    parser.add_argument(
        "--pictures", type=Path, help="write a few night, output, truth rows there, a PNG a checkpoint"
    )
    parser.add_argument("--json", type=Path, help="write the scores there too")
    args = parser.parse_args(argv)
    try:
        pairs = load_scene(args.pairs)
        if len(pairs.night) != len(pairs.day):
            raise SceneError(
                f"{args.pairs}: {len(pairs.night)} nights but {len(pairs.day)} days; they must be pairs"
            )
        labels = TFL_LABELS if args.tfl_labels else ()
        scores = trivial_scores(pairs.night, pairs.day, pairs.background, labels=labels)
        for path in args.checkpoint:
            engine = load_engine(path, backend=args.backend)
            outputs = translate_all(engine, pairs.night)
            scores.append(score(str(path), outputs, pairs.day, pairs.background, labels=labels))
            if args.pictures:
                target = args.pictures / f"{path.parent.name}-{path.stem}.png"
                write_picture(target, side_by_side(pairs.night, outputs, pairs.day))
        print(table(scores))
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps([asdict(s) for s in scores], indent=1) + "\n")
    except (SceneError, CheckpointError, EngineError, ValueError, OSError) as error:
        print(f"nightday-eval: {error}", file=sys.stderr)
        return 2
    return 0


def translate_all(
    engine: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], frames: Sequence[Image]
) -> list[Image]:
    """One frame at a time, as a camera delivers them."""
    return [engine(frame[None])[0] for frame in frames]


if __name__ == "__main__":
    raise SystemExit(main())
