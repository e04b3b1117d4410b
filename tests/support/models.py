"""Small checkpoints of one scene, as training writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import LIGHT

CLIPS = Path(__file__).parents[2] / "benchmarks" / "clips"


def first_frame(clip: str) -> NDArray[np.uint8]:
    """The first frame of a bundled clip, uint8 RGB (H, W, 3)."""
    with av.open(str(CLIPS / clip)) as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


def of_another_street(path: Path) -> Path:
    """A model that holds the day of a street that no bundled clip shows: the mirrored one of a bundled clip."""
    day = cv2.flip(first_frame("day_tfl_09731_a1_barnet.mp4"), 1)
    height, width = day.shape[:2]
    model = NightToDay(replace(LIGHT, blocks=1, width=4, reference=(height, width), blend=True))
    model.reference.copy_(torch.from_numpy(np.ascontiguousarray(day)).permute(2, 0, 1))
    save_checkpoint(path, model)
    return path
