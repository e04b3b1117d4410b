"""The picture of its own scene that a checkpoint holds, and whether a camera shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels, on_host
from nightday.engines.errors import CheckpointError

from ..core.fault_log import FaultLog
from ..core.frame import Frame
from ..core.status import OTHER_SCENE
from .model_fit import ModelFit
from .night_gate import NightGate


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


class SceneWatch:
    """Compares a camera's pictures with the scene of its model, now and then. One thread at a time calls ``look``.

    Args:
        scene: of the model; None where it holds none.
        faults: told while the camera shows another scene.
    """

    def __init__(self, scene: ModelScene | None, faults: FaultLog) -> None:
        self._scene = scene
        self._faults = faults
        self._fit = ModelFit(None if scene is None else scene.rgb)
        faults.end("model")

    @property
    def fits(self) -> bool | None:
        """Whether the camera shows its model's scene; None while that is not known."""
        return self._fit.fits

    def look(self, frame: Frame, seen: Pixels, gate: NightGate | None) -> None:
        """Compare a frame as the camera saw it, (H, W, 3), if that is due; ``gate`` is told a day that fits."""
        scene, seconds = self._scene, float(frame.pts * frame.time_base)
        if scene is None or not self._fit.due(seconds):
            return
        fits = self._fit.look(on_host(seen, "model"), seconds=seconds)
        if fits is False:
            self._faults.begin("model", "model_other_scene", OTHER_SCENE)
        elif fits:
            self._faults.end("model")
            if scene.by_day and gate is not None:
                gate.know_day(scene.rgb)
