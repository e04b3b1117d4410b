"""The night frames that go into a checkpoint, on which engines are qualified."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from nightday.engines.model.qualification_frames import pack, pack_with_backgrounds

from ..footage.scene import Scene, temporal_median


@dataclass(frozen=True, slots=True)
class Qualification:
    """Packed frames, and the backgrounds of all of them where the model takes any; see ``save_checkpoint``."""

    frames: list[Tensor] = field(default_factory=list)
    backgrounds: list[tuple[Tensor, Tensor]] = field(default_factory=list)


def of_scene(scene: Scene, *, backgrounds: bool) -> Qualification:
    """The scene's nights, with x_ref and n_ref if the model takes ``backgrounds``."""
    if not (backgrounds and scene.night):
        return Qualification(pack(scene.night))
    pair = scene.background, temporal_median(scene.night)
    return Qualification(*pack_with_backgrounds(scene.night, [pair]))
