"""What a model makes of pictures, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nightday.engines.model.generator import NightToDay

from ..footage.scene import Image


@torch.no_grad()
def translate(
    model: NightToDay,
    nights: Sequence[Image],
    day_background: Image | None = None,
    night_backgrounds: Sequence[Image] = (),
) -> list[Image]:
    """The model's outputs for nights, uint8 RGB (H, W, 3) each; its mode is left as it was.

    Args:
        model: on any device.
        nights: pictures.
        day_background: x_ref, for a model that is given backgrounds.
        night_backgrounds: n_ref of each night, for such a model.

    Raises:
        ValueError: the model needs backgrounds and there are none.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    outputs = []
    for number, night in enumerate(nights):
        given = [night]
        if model.settings.backgrounds:
            if day_background is None or len(night_backgrounds) != len(nights):
                raise ValueError("the model needs the backgrounds by day and by night of each picture")
            given += [day_background, night_backgrounds[number]]
        made = model(*(torch.from_numpy(np.ascontiguousarray(picture[None])).to(device) for picture in given))
        outputs.append((made[0] if isinstance(made, tuple) else made)[0].cpu().numpy())
    model.train(training)
    return outputs
