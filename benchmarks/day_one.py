"""``python -m benchmarks.day_one``: cameras never seen, on their first night: what is shown, and how clean the rest is.

Each camera has x_ref, the median of its days to learn from, and n_ref, the median of such nights. On nights kept back
the general model with these two is compared with the answers that need no model. Where vehicles are labelled, the
share of them that is shown is told; elsewhere the share of what stands out. On the study's scenes with a truth: PSNR,
how much a still background flickers, and whether what the model calls unclear is where it is wrong.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.general import GENERAL, LEFT_OUT
from benchmarks.study.run import hardware
from benchmarks.study.scenes import StudyScene, entries, load, load_stills
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.train.footage.evidence import relit_paste
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.scene import Image, SceneError, temporal_median, write_picture
from nightday.train.run.validation import outstanding_recall
from nightday.train.scores.baselines import clahe, gamma, gamma_to
from nightday.train.scores.detection_scores import Boxes
from nightday.train.scores.image_distances import Mask, background_std
from nightday.train.scores.scorer import psnr
from nightday.train.scores.shown import shown
from nightday.train.scores.trust import unclear_correlation

RESULT = Path(__file__).parent / "results" / "day_one.json"
LABELLED = "lta2021"
STILLS_HEIGHT = 216  # that of benchmarks.real_nights, whose figures it is compared with
PAIRED = ("vehicle", "crowds", "pedestrian_g")
# A burned-in label is the same by day and by night within this many grey levels, and over time within that many.
LABEL_SAME, LABEL_STEADY = 12, 6
# Rows of a camera's sheet.
ROWS = 4


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera on its first night.

    Attributes:
        name: its folder.
        left_out: whether no model that ships has learnt from it.
        x_ref, n_ref: its backgrounds, uint8 RGB (H, W, 3).
        days, learned: the pictures that they are the medians of.
        nights: kept back.
        boxes: labelled vehicles of each night, pixels; None where there are no labels.
        keep: bool (H, W), all but burned-in labels.
    """

    name: str
    left_out: bool
    x_ref: Image
    n_ref: Image
    days: list[Image]
    learned: list[Image]
    nights: list[Image]
    boxes: list[Boxes] | None
    keep: Mask


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method makes of nights: a day each, and where the model tells it, trust: uint8 (H, W, 3) each."""

    days: list[Image]
    trust: list[NDArray[np.uint8]] | None = None


Method = Callable[[Camera], Answer]


def labelled_cameras(footage: Path) -> list[Camera]:
    """The cameras with labelled vehicles that have days and nights to learn from and nights kept back."""
    files: dict[str, dict[tuple[str, str], list[Path]]] = {}
    with (footage / "manifest.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            path = Path(row["path"])
            if path.parts[0] == LABELLED:
                parts = files.setdefault(str(path.parent), {})
                parts.setdefault((row["label"], row["split"]), []).append(footage / path)
    found = []
    for name, parts in files.items():
        learn = [parts.get((label, "train"), []) for label in ("day", "night")]
        test = parts.get(("night", "test"), [])
        if not (all(learn) and test):
            logging.info("%s: has no night to learn from, passed over", name)
            continue
        days, learned = ([_read(path) for path in some] for some in learn)
        nights = [_read(path) for path in test]
        found.append(
            Camera(
                name=name,
                left_out=name.replace("/", "_") in LEFT_OUT,
                x_ref=temporal_median(days),
                n_ref=temporal_median(learned),
                days=days,
                learned=learned,
                nights=nights,
                boxes=[read_yolo(path.with_suffix(".txt"), nights[0].shape) for path in test],
                keep=~burned_in(days, learned),
            )
        )
    return found


def still_cameras(footage: Path) -> list[Camera]:
    """The other cameras of real stills, as ``benchmarks.real_nights`` has them."""
    labels = {entry["stills"]: entry["labels"] for entry in entries()["scenes"].values() if "stills" in entry}
    lta = labels["lta/4713"][:1]
    with (footage / "manifest.csv").open(newline="") as lines:
        folders = dict.fromkeys(
            str(path.parent.parent)
            for path in (Path(row["path"]) for row in csv.DictReader(lines))
            if path.parts[0] in ("lta", "amos")
        )
    found = []
    for folder in folders:
        scene = load_stills(
            folder.replace("/", "_"),
            footage,
            folder,
            height=STILLS_HEIGHT,
            title=folder,
            labels=labels.get(folder, lta if folder.startswith("lta") else []),
        )
        found.append(_of_scene(folder, scene))
    return found


def _of_scene(name: str, scene: StudyScene) -> Camera:
    test, train = scene.test, scene.train
    return Camera(
        name=name,
        left_out=True,
        x_ref=test.background,
        n_ref=temporal_median(train.night),
        days=train.day,
        learned=train.night,
        nights=list(test.nights),
        boxes=None,
        keep=test.keep,
    )


def read_yolo(path: Path, shape: tuple[int, ...]) -> Boxes:
    """Boxes of a YOLO label file (class, centre and size, relative) in pixels: (N, 4). No file is no box."""
    height, width = shape[:2]
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()] if path.is_file() else []
    boxes = np.array([[float(value) for value in row[1:5]] for row in rows]).reshape(-1, 4)
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.asarray(np.hstack([middle - half, middle + half]) * (width, height, width, height))


def burned_in(days: Sequence[Image], nights: Sequence[Image]) -> Mask:
    """Logos, clocks' frames and arrows: what is the same by day and by night, and steady. bool (H, W)."""

    def steady(pictures: Sequence[Image]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        stack = np.stack(pictures).astype(np.float32)
        middle = np.median(stack, axis=0)
        return middle, np.median(np.abs(stack - middle), axis=0)

    (day, day_range), (night, night_range) = steady(days), steady(nights)
    same = (np.abs(day - night) < LABEL_SAME) & (day_range < LABEL_STEADY) & (night_range < LABEL_STEADY)
    mask = cv2.morphologyEx(same.all(axis=2).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return np.asarray(cv2.dilate(mask, np.ones((5, 5), np.uint8)), bool)


def methods(models: Sequence[tuple[str, str]]) -> dict[str, Method]:
    """What is compared, by name.

    Args:
        models: names and paths of checkpoints; ``{camera}`` in a path stands for the camera, as lta2021_1001.
    """

    def free(make: Callable[[Camera, Image], Image]) -> Method:
        return lambda camera: Answer([make(camera, night) for night in camera.nights])

    def brightened(camera: Camera) -> Answer:
        exponent = gamma_to(camera.learned, camera.days)
        return Answer([gamma(night, exponent) for night in camera.nights])

    def model(path: str) -> Method:
        return lambda camera: translated(Path(path.format(camera=camera.name.replace("/", "_"))), camera)

    return {
        "night": free(lambda _, night: night),
        "gamma": brightened,
        "CLAHE": free(lambda _, night: clahe(night, 4.0)),
        "showing the empty scene": free(lambda camera, _: camera.x_ref),
        "relit paste": free(lambda camera, night: relit_paste(night, camera.x_ref, camera.n_ref)),
        **{name: model(path) for name, path in models},
    }


@torch.no_grad()
def translated(path: Path, camera: Camera) -> Answer:
    """What a checkpoint makes of the nights: with both backgrounds, with x_ref put into it, or alone."""
    model = load_checkpoint(path)
    if getattr(model.settings, "backgrounds", False):
        days, trust = [], []
        x_ref, n_ref = (torch.from_numpy(picture[None]) for picture in (camera.x_ref, camera.n_ref))
        for night in camera.nights:
            day, told = model(torch.from_numpy(night[None]), x_ref, n_ref)
            days.append(day[0].numpy())
            size = (night.shape[1], night.shape[0])
            trust.append(
                np.asarray(cv2.resize(told[0].numpy(), size, interpolation=cv2.INTER_LINEAR), np.uint8)
            )
        return Answer(days, trust)
    if model.settings.reference is not None:
        model = model.at_place(torch.from_numpy(camera.x_ref).permute(2, 0, 1))
    return Answer([model(torch.from_numpy(night[None]))[0].numpy() for night in camera.nights])


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
        "gain": min(day, 99.0) - night,
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
    names = ["relit paste", *(name for name in answers if name not in FREE)]
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
    return np.vstack([np.hstack([*row, *[blank] * (width - len(row))]) for row in rows])


FREE = ("night", "gamma", "CLAHE", "showing the empty scene", "relit paste")


def _boxed(camera: Camera, at: int) -> Image:
    picture = camera.nights[at].copy()
    for x1, y1, x2, y2 in camera.boxes[at] if camera.boxes is not None else ():
        cv2.rectangle(picture, (int(x1), int(y1)), (int(x2), int(y2)), (0, 255, 0), 1)
    return picture


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SceneError(f"{path}: cannot be read as a picture")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


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


def main() -> int:
    """Measure, print the tables, write the result and a sheet a camera."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day_one", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--footage", type=Path, required=True)
    add("--runs", type=Path, default=Path("runs/day_one"), help="the sheets, which stay here")
    add(
        "--model",
        action="append",
        metavar="NAME=PATH",
        help="a checkpoint; {camera} in the path stands for the camera. The general model unless given",
    )
    add("--only", nargs="+", help="cameras or scenes, such as lta2021/1001, lta/4713, vehicle")
    add(
        "--parts",
        nargs="+",
        choices=("labelled", "stills", "paired"),
        default=["labelled", "stills", "paired"],
    )
    add("--result", type=Path, help=f"written there too; {RESULT.name} of results/ when all is measured")
    add("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    models = [
        (name, path) for name, _, path in (m.partition("=") for m in args.model or [f"general={GENERAL}"])
    ]
    if not all(path for _, path in models):
        parser.error("--model: give NAME=PATH")
    compared = methods(models)
    result: dict[str, Any] = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "models": {name: Path(path).name for name, path in models},
        "left_out": sorted(LEFT_OUT),
    }
    try:
        if "labelled" in args.parts:
            cameras = [c for c in labelled_cameras(args.footage) if not args.only or c.name in args.only]
            rows = _measure(cameras, compared, labelled_row, args.runs)
            unseen = [row for row in rows if row["left_out"]]
            result["labelled"] = rows
            result["labelled_summary"] = [
                {"cameras_of": title, **row}
                for title, some in (("left out", unseen), ("all", rows))
                for row in summary(some, boxes=True)
            ]
            _print(table(rows, LABELLED_COLUMNS), table(result["labelled_summary"], SUMMARY_COLUMNS))
        if "stills" in args.parts:
            cameras = [c for c in still_cameras(args.footage) if not args.only or c.name in args.only]
            result["stills"] = rows = _measure(cameras, compared, still_row, args.runs)
            result["stills_summary"] = summary(rows, boxes=False)
            _print(table(rows, STILL_COLUMNS), table(result["stills_summary"], SUMMARY_COLUMNS))
        if "paired" in args.parts:
            rows = []
            for key in PAIRED:
                if args.only and key not in args.only:
                    continue
                scene = load(key, args.footage)

                def row(
                    camera: Camera, method: str, answer: Answer, of: StudyScene = scene
                ) -> dict[str, Any]:
                    return paired_row(of, camera, method, answer)

                rows += _measure([_of_scene(key, scene)], compared, row, args.runs)
            result["paired"] = rows
            _print(table(rows, PAIRED_COLUMNS))
    except SceneError as error:
        print(f"benchmarks.day_one: {error}", file=sys.stderr)
        return 2
    whole = not args.only and len(args.parts) == 3 and not args.model
    for path in [*([RESULT] if whole else []), *([args.result] if args.result else [])]:
        path.write_text(json.dumps(_rounded(result), indent=1) + "\n")
    return 0


def _measure(
    cameras: Sequence[Camera],
    compared: dict[str, Method],
    row: Callable[[Camera, str, Answer], dict[str, Any]],
    runs: Path,
) -> list[dict[str, Any]]:
    rows = []
    for camera in cameras:
        answers = {name: method(camera) for name, method in compared.items()}
        for name, answer in answers.items():
            rows.append(row(camera, name, answer))
            if name not in ("night", "gamma", "CLAHE"):
                logging.info("%s", _rounded(rows[-1]))
        write_picture(runs / f"{camera.name.replace('/', '_')}.png", sheet(camera, answers))
    return rows


def _print(*tables: str) -> None:
    print("\n" + "\n\n".join(tables), flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return None if value != value else round(value, 4)
    return value


if __name__ == "__main__":
    raise SystemExit(main())
