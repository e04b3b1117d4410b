"""What the general model learns from."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.general import stills


def test_stills_are_read_in_rgb_as_pytorch_takes_them(tmp_path: Path, rng: np.random.Generator) -> None:
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "scene", "label", "split"))
        pictures = {}
        for label in ("day", "night", "twilight"):
            pictures[label] = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f"{label}.png"), pictures[label][..., ::-1])
            rows.writerow((f"{label}.png", "lta2021_0", label, "train"))
        rows.writerow(("day.png", "lta2021_1002", "day", "train"))  # left out
    (scene,) = stills(tmp_path)
    for read, label in ((scene.day, "day"), (scene.night, "night")):
        assert torch.equal(torch.from_numpy(read[0]), torch.from_numpy(pictures[label]))
        assert len(read) == 1
