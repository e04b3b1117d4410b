"""The scenes of ``benchmarks/scenes.yaml``: pictures to train on, pictures to test on, and what must not count."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from train.data import Image, Scene, SceneError, read_frames, temporal_median
from train.night import TEST_NIGHT, NightSimulator, foreground_mask

SCENES = Path(__file__).parents[1] / "scenes.yaml"
SEED = 20261101  # of the simulated nights' noise: every method and seed sees the same pictures


@dataclass(frozen=True, slots=True)
class StudyScene:
    """One scene at the study's size. Pictures are uint8 RGB (H, W, 3), masks bool (H, W).

    Attributes:
        key, title: as in the file.
        train: what methods learn from: unpaired days and nights, and x_ref from these days.
        night: the test nights, never trained on; consecutive frames where ``truth`` is given.
        truth: the same moments by day, where the night is simulated.
        real: real days that translated nights should look like; the truth where there is one.
        keep: pixels that count: all but burned-in labels.
        shippable: whether pictures of it may be published.
    """

    key: str
    title: str
    train: Scene
    night: list[Image]
    truth: list[Image] | None
    real: list[Image]
    keep: NDArray[np.bool_]
    shippable: bool

    def foreground(self) -> list[NDArray[np.bool_]]:
        """Where something moves in each test night: from the truth, or else against the nights' own median."""
        if self.truth is not None:
            return [foreground_mask(day, self.train.background) & self.keep for day in self.truth]
        empty = temporal_median([*self.train.night, *self.night])
        return [foreground_mask(night, empty) & self.keep for night in self.night]

    def real_foreground(self) -> list[NDArray[np.bool_]]:
        """What of the real days to hold the nights' foreground against: the same moments' own where there is truth.

        Otherwise wherever something moves in any test night: weather and sun change the rest of a day so much that
        a difference to x_ref tells nothing.
        """
        if self.truth is not None:
            return self.foreground()
        return [np.any(self.foreground(), axis=0)] * len(self.real)


def entries(path: Path = SCENES) -> dict[str, Any]:
    """The file as it is."""
    return yaml.safe_load(path.read_text())


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
        train=Scene(key, days, nights, temporal_median(days)),
        night=pictures[("night", "test")],
        truth=None,
        real=real if len(real) > 1 else days + real,
        keep=_keep(labels, size, days[0].shape[:2]),
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
        night=small(darkened(part("test"))),
        truth=truth,
        real=truth,
        keep=_keep(entry["labels"], size, reference.shape[:2]),
        shippable=True,
    )


def scaled(picture: Image, size: tuple[int, int], height: int) -> Image:
    """``picture``, expected of ``size``, at ``height`` and the width, a multiple of 4, nearest to its aspect."""
    width = max(4, round(size[1] * height / size[0] / 4) * 4)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _keep(labels: list[list[int]], size: tuple[int, int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    keep = np.ones(shape, bool)
    down, across = shape[0] / size[0], shape[1] / size[1]
    for left, top, right, bottom in labels:
        rows = slice(int(top * down), int(np.ceil(bottom * down)))
        keep[rows, int(left * across) : int(np.ceil(right * across))] = False
    return keep
