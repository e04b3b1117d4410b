"""Sample grids: what the model makes of a few nights, as a picture that people look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nightday.engines.model.generator import NightToDay

from ..footage.foreground import foreground_mask, moving_in
from ..footage.night_conditions import random_conditions
from ..footage.night_simulator import NightSimulator
from ..footage.scene import Image, Scene, temporal_median, write_picture
from ..objectives.elesim import elesim
from .paper_terms import PaperTerms
from .tensors import to_tensor
from .translation import translate


@torch.no_grad()
def write_sample(
    path: Path, model: NightToDay, scene: Scene, *, seed: int, simulated: bool, terms: PaperTerms | None
) -> None:
    """Write rows of (night, output, x_ref, mask): two real nights, and two simulated ones.

    Args:
        path: the PNG; its folder is made.
        model: in training mode, and left so.
        scene: nights, days and x_ref.
        seed: of the simulated nights.
        simulated: whether there are simulated ones.
        terms: where the mask comes from, at relu3-1; None takes the difference to x_ref.
    """
    rng = np.random.default_rng(seed)
    nights = [*scene.night[:1], *scene.night[1:][-1:]]
    night_backgrounds = [temporal_median(scene.night)] * len(nights) if nights else []
    if simulated:
        for i in np.linspace(0, len(scene.day) - 1, 2).round().astype(int):
            day = scene.day[i]
            simulate = NightSimulator(random_conditions(rng), day.shape[:2], rng)
            nights.append(simulate(day, moving_in(day, scene)))
            night_backgrounds.append(simulate(scene.background))
    rows = []
    outputs = translate(model, nights, scene.background, night_backgrounds)
    for night, output in zip(nights, outputs, strict=True):
        mask = _background_mask(output, scene.background, terms)
        grey = cv2.resize(mask.astype(np.uint8) * 255, night.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        rows.append(np.hstack((night, output, scene.background, np.repeat(grey[..., None], 3, axis=2))))
    write_picture(path, np.vstack(rows))


def _background_mask(output: Image, background: Image, terms: PaperTerms | None) -> NDArray[np.bool_]:
    """Where the output shows the background, by EleSim or by the difference."""
    if terms is None:
        return ~foreground_mask(output, background)
    features, reference = (terms.vgg(to_tensor([picture], terms.device)) for picture in (output, background))
    similarity = elesim(features[0], reference[0])[0, 0]
    return np.asarray((similarity > terms.thresholds[0]).cpu().numpy())
