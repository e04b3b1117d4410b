"""Backgrounds as tensors on the device that translates, each brought there and shrunk once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..device_copies import Pixels, to_device
from ..model.generator import NightToDay, from_bytes
from ..model.lift import Lifted
from .backgrounds import Derived, Pair


def small(module: NightToDay | Lifted, picture: Tensor) -> Tensor:
    """A background at the size at which ``module`` translates: uint8 (H, W, 3) → float32 (h, w, 3) in grey levels.

    Shrunk ones are no whole grey levels: in the dark half a level passes for evidence.
    """
    if not isinstance(module, Lifted):
        return picture.float()
    with torch.inference_mode():
        return module.small(from_bytes(picture[None]))[0].permute(1, 2, 0) * 255


class DeviceBackgrounds:
    """Backgrounds as tensors on a device, at the size at which frames are translated; each is brought there once.

    Args:
        device: where they are brought.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._derived: Derived[Tensor] = Derived()

    def batch(self, module: NightToDay | Lifted, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        """The backgrounds by day and by night of a batch, see ``small``: float32 (N, h, w, 3) each."""
        by_day, by_night = (torch.stack([self._one(module, pair[kind]) for pair in pairs]) for kind in (0, 1))
        return by_day, by_night

    def _one(self, module: NightToDay | Lifted, picture: Pixels) -> Tensor:
        def make() -> Tensor:
            if isinstance(picture, Tensor):
                return small(module, picture)
            # A copy: what is kept must not keep the picture alive.
            return small(module, to_device(np.array(picture), self._device, "background"))

        return self._derived.get([picture], make)
