"""The picture of its own scene that a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightday.engines.errors import CheckpointError


@dataclass(frozen=True, slots=True, eq=False)
class ModelScene:
    """A model's scene.

    Attributes:
        rgb: the scene without what moves, (H, W, 3) uint8 RGB.
        by_day: whether that is x_ref, the scene by day; else the median of its night frames.
    """

    rgb: NDArray[np.uint8]
    by_day: bool


def scene_of(model: Path) -> ModelScene | None:
    """The scene of a checkpoint: the x_ref that it was trained with, else the median of its qualification frames.

    None if it has neither, and for a model that was made for no one camera: its qualification frames have each a
    background of their own, or no camera was fixed. Also None for a file that cannot be read any more: loading it
    tells.
    """
    from nightday.engines.model.checkpoint import BACKGROUNDS_KEY, FIXED_CAMERA, FRAMES_KEY, read_checkpoint
    from nightday.engines.model.qualification_frames import backgrounds_of_content, frames_of_checkpoint

    try:
        content = read_checkpoint(model)
        if not content["training"].get(FIXED_CAMERA, True):
            return None
        reference = content["state"].get("reference")
        if reference is not None and reference.numel() and int(reference.max()) > int(reference.min()):
            return ModelScene(np.ascontiguousarray(reference.permute(1, 2, 0).numpy()), by_day=True)
        pairs = content.get(BACKGROUNDS_KEY)
        if pairs:
            return (
                ModelScene(backgrounds_of_content(content, model)[0][0], by_day=True)
                if len(pairs) == 1
                else None
            )
        if not content.get(FRAMES_KEY):
            return None
        frames = frames_of_checkpoint(model)
        same = [frame for frame in frames if frame.shape == frames[0].shape]
        return ModelScene(np.median(np.stack(same), axis=0).astype(np.uint8), by_day=False)
    except (CheckpointError, OSError, KeyError, AttributeError):
        return None


def of_fixed_camera(model: Path) -> bool:
    """Whether a checkpoint is of a fixed camera, as all are that do not say otherwise; loading tells of faults."""
    from nightday.engines.model.checkpoint import FIXED_CAMERA, read_checkpoint

    try:
        return bool(read_checkpoint(model)["training"].get(FIXED_CAMERA, True))
    except (CheckpointError, KeyError, AttributeError):
        return True
