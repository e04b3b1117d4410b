"""Calling an engine on pictures, wherever the two lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nightday.engines import device_copies
from nightday.engines.backends.backgrounds import Background
from nightday.engines.backends.base import Engine, Frames, Translation
from nightday.engines.device_copies import Pixels

from ..core.backgrounds import Backgrounds
from ..core.pixels import stack

Made = Translation[Frames] | Translation[Tensor]
"""What an engine made of a batch on the host, or on a GPU."""

Beside = tuple[Background, Background] | None
"""The backgrounds of a batch by day and by night, see ``Background``; None where none are needed."""


def call_engine(engine: Engine, batch: Pixels, beside: Beside = None) -> Made:
    """What ``engine`` makes of a batch (N, H, W, 3), lying where the batch does and done when this returns.

    An engine that takes no backgrounds is given none. Raises ValueError if the result has another shape or dtype than
    the batch.
    """
    by_day, by_night = beside if beside is not None and engine.needs_backgrounds else (None, None)
    made: Made
    if not isinstance(batch, Tensor):
        made = engine.translate(batch, by_day, by_night)
    elif engine.device is None:  # this engine has just taken the place of one on the GPU
        on_host = engine.translate(device_copies.to_host(batch, "engine"), by_day, by_night)
        made = Translation(
            device_copies.to_device(on_host.day, batch.device, "engine"),
            None if on_host.trust is None else torch.from_numpy(on_host.trust).to(batch.device),
            on_host.ran,
        )
    else:
        made = engine.translate(batch, by_day, by_night)
        if (
            batch.is_cuda
        ):  # so that the time it took can be measured, and outputs wait for no longer than one batch
            torch.cuda.current_stream(batch.device).synchronize()
    day = made.day
    if day.shape != batch.shape or day.dtype != batch.dtype:
        raise ValueError(f"the engine made {day.dtype} {tuple(day.shape)} of uint8 {tuple(batch.shape)}")
    return made


def beside_of(backgrounds: Sequence[Backgrounds]) -> Beside:
    """The backgrounds of a batch for an engine that needs them. Raises ValueError where one is not known."""
    by_day, by_night = [one.day for one in backgrounds], [one.night for one in backgrounds]
    known_by_day = [one for one in by_day if one is not None]
    known_by_night = [one for one in by_night if one is not None]
    if len(known_by_day) < len(by_day) or len(known_by_night) < len(by_night):
        raise ValueError("the camera's backgrounds are not known")
    return known_by_day, known_by_night


Result = tuple[Pixels, Pixels | None, float | None]
"""The day of one picture (H, W, 3), what to make of it, and on which share of it the generator ran."""


def translate(
    call: Callable[[Pixels, Sequence[Backgrounds]], Made],
    pictures: Sequence[Pixels],
    backgrounds: Sequence[Backgrounds],
    *,
    device: torch.device | None,
) -> list[Result | Exception]:
    """Translate pictures of one size (H, W, 3); in place of each result that failed stands the error.

    When the engine fails on a batch, its frames are tried again one at a time, so that only those at fault are lost.

    Args:
        call: runs the engine on a batch.
        pictures: what to translate.
        backgrounds: of each picture.
        device: where the engine takes tensors, which then stay there. None brings them to the host.
    """
    try:
        made = call(stack(pictures, device=device, why="engine"), backgrounds)
        day: Pixels = made.day
        days = day if isinstance(day, Tensor) or day.flags.writeable else day.copy()
        unknown = [None] * len(days)
        trust = unknown if made.trust is None else made.trust
        return list(zip(days, trust, unknown if made.ran is None else made.ran, strict=True))
    except Exception as error:
        if len(pictures) == 1:
            return [error]
    return [
        result
        for picture, own in zip(pictures, backgrounds, strict=True)
        for result in translate(call, [picture], [own], device=device)
    ]
