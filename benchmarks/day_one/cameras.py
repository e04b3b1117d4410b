"""The cameras: their backgrounds, nights kept back, and labelled vehicles where there are any."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.general import LEFT_OUT
from benchmarks.study.scenes import StudyScene, entries, load_stills
from nightday.train.footage.labels import read_yolo
from nightday.train.footage.scene import Image, SceneError, temporal_median
from nightday.train.scores.detection_scores import Boxes
from nightday.train.scores.image_distances import Mask

LABELLED = "lta2021"
# That of benchmarks.real_nights, whose figures the stills' are compared with.
STILLS_HEIGHT = 216
# A burned-in label is the same by day and by night within this many grey levels, and over time within that many.
LABEL_SAME, LABEL_STEADY = 12, 6


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
        found.append(of_scene(folder, scene))
    return found


def of_scene(name: str, scene: StudyScene) -> Camera:
    """A scene of the study as such a camera; n_ref is the median of its nights to learn from."""
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


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SceneError(f"{path}: cannot be read as a picture")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
