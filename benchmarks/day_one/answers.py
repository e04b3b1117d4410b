"""What is compared: the answers that need no model, and checkpoints of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.day_one.cameras import Camera
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.train.footage.evidence import relit_paste
from nightday.train.footage.scene import Image
from nightday.train.scores.baselines import EMPTY_SCENE, RELIT_PASTE, clahe, gamma, gamma_to

FREE = ("night", "gamma", "CLAHE", EMPTY_SCENE, RELIT_PASTE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method makes of nights: a day each, and where the model tells it, trust: uint8 (H, W, 3) each."""

    days: list[Image]
    trust: list[NDArray[np.uint8]] | None = None


Method = Callable[[Camera], Answer]


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
        EMPTY_SCENE: free(lambda camera, _: camera.x_ref),
        RELIT_PASTE: free(lambda camera, night: relit_paste(night, camera.x_ref, camera.n_ref)),
        **{name: model(path) for name, path in models},
    }


def translated(path: Path, camera: Camera) -> Answer:
    """What a checkpoint makes of the nights."""
    return answer_of(load_checkpoint(path), camera)


@torch.no_grad()
def answer_of(model: NightToDay, camera: Camera) -> Answer:
    """What a model makes of the nights: with both backgrounds, with x_ref put into it, or alone."""
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
