"""Calling an engine on pictures, wherever the two lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nightday.engines import device_copies
from nightday.engines.backends.base import Engine
from nightday.engines.device_copies import Pixels

from ..core.pixels import stack


def call_engine(engine: Engine, batch: Pixels) -> Pixels:
    """What ``engine`` makes of a batch (N, H, W, 3), lying where the batch does and done when this returns.

    Raises ValueError if the result has another shape or dtype than the batch.
    """
    if not isinstance(batch, Tensor):
        result: Pixels = engine(batch)
    elif engine.device is None:  # this engine has just taken the place of one on the GPU
        on_host = engine(device_copies.to_host(batch, "engine"))
        result = device_copies.to_device(device_copies.on_host(on_host, "engine"), batch.device, "engine")
    else:
        result = engine(batch)
        if (
            batch.is_cuda
        ):  # so that the time it took can be measured, and outputs wait for no longer than one batch
            torch.cuda.current_stream(batch.device).synchronize()
    if result.shape != batch.shape or result.dtype != batch.dtype:
        raise ValueError(f"the engine made {result.dtype} {result.shape} of uint8 {tuple(batch.shape)}")
    return result


def translate(
    call: Callable[[Pixels], Pixels], pictures: Sequence[Pixels], *, device: torch.device | None
) -> list[Pixels | Exception]:
    """Translate pictures of one size (H, W, 3); in place of each result that failed stands the error.

    When the engine fails on a batch, its frames are tried again one at a time, so that only those at fault are lost.

    Args:
        call: runs the engine on a batch.
        pictures: what to translate.
        device: where the engine takes tensors, which then stay there. None brings them to the host.
    """
    try:
        result = call(stack(pictures, device=device, why="engine"))
        return list(result if isinstance(result, Tensor) or result.flags.writeable else result.copy())
    except Exception as error:
        if len(pictures) == 1:
            return [error]
    return [result for picture in pictures for result in translate(call, [picture], device=device)]
