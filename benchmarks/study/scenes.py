"""The scenes of ``benchmarks/scenes.yaml``: pictures to train on, pictures to test on, and what must not count."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.night_conditions import TEST_NIGHT
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, Scene, SceneError, read_frames, temporal_median
from nightday.train.scores.image_distances import Mask
from nightday.train.scores.scorer import HeldOut, keep_mask

SCENES = Path(__file__).parents[1] / "scenes.yaml"
SEED = 20261101  # of the simulated nights' noise: every method and seed sees the same pictures


@dataclass(frozen=True, slots=True)
class StudyScene:
    """One scene at the study's size.

    Attributes:
        key, title: as in the file.
        train: what methods learn from: unpaired days and nights, and x_ref from these days.
        test: the test nights, never trained on, and what to hold them against.
        shippable: whether pictures of it may be published.
    """

    key: str
    title: str
    train: Scene
    test: HeldOut
    shippable: bool


def entries(path: Path = SCENES) -> dict[str, Any]:
    """The file as it is."""
    file: dict[str, Any] = yaml.safe_load(path.read_text())
    return file


def load(key: str, footage: Path, *, height: int | None = None) -> StudyScene:
    """A scene of the file, scaled to ``height`` (the file's own by default)."""
    file = entries()
    if key not in file["scenes"]:
        raise SceneError(f"{key}: no such scene; {SCENES.name} has {', '.join(file['scenes'])}")
    entry = file["scenes"][key]
    height = height or file["height"]
    if "clip" in entry:
        return _clip(key, entry, footage, height)
    return load_stills(
        key, footage, entry["stills"], height=height, labels=entry["labels"], title=entry["title"]
    )


def load_stills(
    key: str, footage: Path, folder: str, *, height: int, labels: list[list[int]], title: str
) -> StudyScene:
    """A camera of stills, split by the footage's manifest."""
    pictures: dict[tuple[str, str], list[Image]] = {}
    size = (0, 0)
    with (footage / "manifest.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["path"].startswith(folder + "/") and row["label"] in ("day", "night"):
                read = cv2.imread(str(footage / row["path"]))
                if read is None:
                    raise SceneError(f"{footage / row['path']}: cannot be read as a picture")
                size = size if any(size) else read.shape[:2]
                picture = scaled(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), size, height)
                pictures.setdefault((row["label"], row["split"]), []).append(picture)
    days, nights = pictures.get(("day", "train"), []), pictures.get(("night", "train"), [])
    if not days or not nights:
        raise SceneError(f"{footage / folder}: the manifest has no day and night to train on")
    real = pictures.get(("day", "test"), [])
    return StudyScene(
        key=key,
        title=title,
        train=Scene(key, days, nights, background := temporal_median(days)),
        test=HeldOut(
            nights=pictures[("night", "test")],
            truth=None,
            real=real if len(real) > 1 else days + real,
            background=background,
            keep=_keep(labels, size, background.shape),
            more_nights=nights,
            floor=days,
        ),
        shippable=False,
    )


def _clip(key: str, entry: dict[str, Any], footage: Path, height: int) -> StudyScene:
    frames = read_frames(footage / entry["clip"])
    size = (frames[0].shape[0], frames[0].shape[1])

    def part(name: str) -> list[Image]:
        first, last = (round(share * len(frames)) for share in entry[name])
        return frames[first:last]

    # The night falls at the camera's own resolution: scaling then averages its noise, as it does for real ones.
    background = temporal_median(part("day"))
    simulate = NightSimulator(TEST_NIGHT, size, np.random.default_rng(SEED))

    def darkened(some: list[Image]) -> list[Image]:
        return [simulate(frame, foreground_mask(frame, background)) for frame in some]

    def small(some: list[Image]) -> list[Image]:
        return [scaled(frame, size, height) for frame in some]

    day, truth = small(part("day")), small(part("test"))
    reference = temporal_median(day)
    return StudyScene(
        key=key,
        title=entry["title"],
        train=Scene(key, day, small(darkened(part("night"))), reference),
        test=HeldOut(
            nights=small(darkened(part("test"))),
            truth=truth,
            real=truth,
            background=reference,
            keep=_keep(entry["labels"], size, reference.shape),
            video=True,
            floor=day[:: max(1, len(day) // len(truth))],
        ),
        shippable=True,
    )


def scaled(picture: Image, size: tuple[int, int], height: int) -> Image:
    """``picture``, expected of ``size``, at ``height`` and the width, a multiple of 4, nearest to its aspect."""
    width = max(4, round(size[1] * height / size[0] / 4) * 4)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _keep(labels: list[list[int]], size: tuple[int, int], shape: tuple[int, ...]) -> Mask:
    down, across = shape[0] / size[0], shape[1] / size[1]
    boxes = [
        (int(left * across), int(top * down), int(np.ceil(right * across)), int(np.ceil(bottom * down)))
        for left, top, right, bottom in labels
    ]
    return keep_mask(shape, boxes)
