"""The rows of the tables, their summary over cameras, and a sheet of pictures to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from benchmarks.day_one.answers import FREE, Answer
from benchmarks.day_one.cameras import Camera
from benchmarks.study.scenes import StudyScene
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.scene import Image, temporal_median
from nightday.train.run.validation import outstanding_recall
from nightday.train.scores.baselines import RELIT_PASTE
from nightday.train.scores.image_distances import background_std
from nightday.train.scores.scorer import IDENTICAL, psnr
from nightday.train.scores.shown import shown
from nightday.train.scores.trust import unclear_correlation

# Rows of a camera's sheet.
ROWS = 4


def labelled_row(camera: Camera, method: str, answer: Answer) -> dict[str, Any]:
    """What is shown of the labelled vehicles, and the background beside it."""
    assert camera.boxes is not None
    found = shown(
        camera.nights, answer.days, camera.boxes, x_ref=camera.x_ref, n_ref=camera.n_ref, keep=camera.keep
    )
    return {"camera": camera.name, "left_out": camera.left_out, "method": method, **asdict(found)}


def still_row(camera: Camera, method: str, answer: Answer) -> dict[str, Any]:
    """Gain of the background and what is shown of what stands out, as in ``benchmarks.real_nights``."""
    empty = temporal_median([*camera.learned, *camera.nights])
    moving = [foreground_mask(night, empty) & camera.keep for night in camera.nights]
    reference = [camera.x_ref] * len(camera.nights)
    night, day = (
        psnr(pictures, reference, moving, camera.keep).background for pictures in (camera.nights, answer.days)
    )
    things = outstanding_recall(camera.nights, answer.days, empty, camera.x_ref)
    beside = shown(
        camera.nights,
        answer.days,
        [np.zeros((0, 4))] * len(camera.nights),
        x_ref=camera.x_ref,
        n_ref=camera.n_ref,
        keep=camera.keep,
    )
    return {
        "camera": camera.name,
        "method": method,
        "gain": min(day, IDENTICAL) - night,
        "stands_out": things.outstanding,
        "shown": things.recall,
        "elsewhere": things.elsewhere,
        "background": beside.background,
        "off": beside.off,
        "counted": beside.counted,
        "outside": beside.outside,
    }


def paired_row(scene: StudyScene, camera: Camera, method: str, answer: Answer) -> dict[str, Any]:
    """PSNR to the truth, flicker of the still background, and how well "unclear" tells the error."""
    test = scene.test
    assert test.truth is not None
    moving = test.foreground()
    found = psnr(answer.days, test.truth, moving, test.keep)
    still = test.keep & ~np.any(moving, axis=0)
    row = {
        "camera": scene.key,
        "method": method,
        "whole": found.whole,
        "moves": found.foreground,
        "still": found.background,
        "flicker": background_std(answer.days, still),
    }
    if answer.trust is not None:
        unclear = [told[..., 2] for told in answer.trust]
        row["unclear_correlation"] = unclear_correlation(unclear, answer.days, test.truth, test.keep)
    return row


def summary(rows: Sequence[dict[str, Any]], *, boxes: bool) -> list[dict[str, Any]]:
    """A row a method: all cameras together (labelled boxes each count alike), and the worst camera."""
    result = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        weights = [row["boxes"] for row in own] if boxes else [1] * len(own)
        seen = [
            (row["shown"], w) for row, w in zip(own, weights, strict=True) if row["shown"] == row["shown"]
        ]
        worst = min(
            (row for row in own if row["shown"] == row["shown"]), key=lambda row: row["shown"], default=None
        )
        result.append(
            {
                "method": method,
                "cameras": len(own),
                "shown": sum(s * w for s, w in seen) / max(1, sum(w for _, w in seen)),
                "worst": worst["shown"] if worst else float("nan"),
                "worst_camera": worst["camera"] if worst else "",
                "background": _pooled([row["background"] for row in own]),
                "least_background": min(row["background"] for row in own),
                "off": float(np.mean([row["off"] for row in own])),
                "most_off": max(row["off"] for row in own),
                "outside": _pooled([row["outside"] for row in own]),
            }
        )
    return result


def _pooled(values: Sequence[float]) -> float:
    """PSNR of the mean squared error of all, dB: a mean of decibels would let one perfect camera hide a bad one."""
    return float(-10 * np.log10(np.mean([10 ** (-value / 10) for value in values])))


def sheet(camera: Camera, answers: dict[str, Answer]) -> Image:
    """x_ref and n_ref, then a row a night: night, relit paste, each model's output and its trust."""
    names = [RELIT_PASTE, *(name for name in answers if name not in FREE)]
    picks = np.linspace(0, len(camera.nights) - 1, min(ROWS, len(camera.nights))).round().astype(int)
    rows = [[camera.x_ref, camera.n_ref]]
    for at in picks:
        row = [_boxed(camera, int(at))]
        for name in names:
            row.append(answers[name].days[at])
            told = answers[name].trust
            if told is not None:
                row.append(told[at])
        rows.append(row)
    width = max(map(len, rows))
    blank = np.full_like(camera.x_ref, 255)
    return np.asarray(np.vstack([np.hstack([*row, *[blank] * (width - len(row))]) for row in rows]))


def _boxed(camera: Camera, at: int) -> Image:
    picture: Image = camera.nights[at].copy()
    for x1, y1, x2, y2 in camera.boxes[at] if camera.boxes is not None else ():
        cv2.rectangle(picture, (int(x1), int(y1)), (int(x2), int(y2)), (0, 255, 0), 1)
    return np.asarray(picture)


def table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    """The rows as Markdown; a dash where there is nothing."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = []
        for key in columns:
            value = row.get(key, float("nan"))
            if isinstance(value, float):
                small = key in ("off", "most_off", "shown", "worst", "stands_out", "elsewhere", "counted")
                cells.append("–" if value != value else f"{value:.2%}" if small else f"{value:.2f}")
            else:
                cells.append(str(value))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


LABELLED_COLUMNS = {
    "camera": "camera",
    "method": "method",
    "left_out": "left out",
    "boxes": "boxes",
    "shown": "shown ↑",
    "background": "background to x_ref, dB ↑",
    "off": "off by > 20 ↓",
    "counted": "of the picture",
    "outside": "outside boxes, dB ↑",
}
SUMMARY_COLUMNS = {
    "cameras_of": "cameras",
    "method": "method",
    "cameras": "of them",
    "shown": "shown ↑",
    "worst": "worst ↑",
    "worst_camera": "at",
    "background": "background, dB ↑",
    "least_background": "least",
    "off": "off by > 20 ↓",
    "most_off": "most",
    "outside": "outside boxes, dB ↑",
}
STILL_COLUMNS = {
    "camera": "camera",
    "method": "method",
    "gain": "gain, dB ↑",
    "stands_out": "stands out",
    "shown": "of it shown ↑",
    "elsewhere": "elsewhere ↓",
    "background": "background to x_ref, dB ↑",
    "off": "off by > 20 ↓",
}
PAIRED_COLUMNS = {
    "camera": "scene",
    "method": "method",
    "whole": "PSNR, dB ↑",
    "moves": "what moves ↑",
    "still": "what does not ↑",
    "flicker": "flicker, levels ↓",
    "unclear_correlation": "unclear with error ↑",
}
