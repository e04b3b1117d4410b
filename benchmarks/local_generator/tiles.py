"""A picture made in tiles, and how far a change of the night reaches.

What tiles cannot know of the whole frame is given to them: the noise that evidence is measured in, and, for a
``LocalModel``, n_ref of the whole picture, whose statistics the invariant is normalised by.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.local_generator.model import REACH, LocalModel
from nightday.engines.model import evidence
from nightday.engines.model.generator import NightToDay

# Side of the tiles that a picture is made in, pixels.
TILE = 64
# Side of the block that is changed to see how far that reaches, pixels.
CHANGED = 4

Night = tuple[Tensor, Tensor, Tensor]
"""A night, x_ref and n_ref, float (1, 3, H, W) in [0, 1] each."""


@torch.no_grad()
def whole(model: NightToDay, night: Night, *, noise: Tensor | None = None) -> Tensor:
    """Day and trust, float (1, 6, H, W) in [0, 1]; with ``noise``, (1, 1, H, W), in place of the frame's own."""
    with _noise_is(noise):
        day, trust = model.translate_with_trust(*night)
    assert trust is not None
    return torch.cat((day, trust), dim=1)


def noise_of(model: NightToDay, night: Night) -> Tensor:
    """The noise that evidence of a frame is measured in, float (1, 1, H, W): two numbers, and n_ref's luma."""
    own, used = evidence._noise, []

    def measured(*given: Tensor) -> Tensor:
        used.append(own(*given))
        return used[-1]

    with mock.patch.object(evidence, "_noise", measured):
        whole(model, night)
    return used[0]


def in_tiles(model: NightToDay, night: Night, *, side: int = TILE, margin: int = REACH) -> Tensor:
    """As ``whole``, tile by tile of that ``side``, each with ``margin`` pixels around it; both multiples of 8."""
    noise, made = noise_of(model, night), torch.empty(1, 6, *night[0].shape[-2:])
    height, width = made.shape[-2:]
    with _statistics_of(model, night[2]):
        for top in range(0, height, side):
            for left in range(0, width, side):
                y, x = max(0, top - margin), max(0, left - margin)
                place = np.s_[..., y : top + side + margin, x : left + side + margin]
                night_here, by_day, by_night = (picture[place] for picture in night)
                tile = whole(model, (night_here, by_day, by_night), noise=noise[place])
                inner = made[..., top : top + side, left : left + side]
                inner[:] = tile[..., top - y : top - y + side, left - x : left - x + side]
    return made


def reach(model: NightToDay, night: Night, rng: np.random.Generator, *, trials: int) -> int:
    """How far a change of the night changes day or trust, pixels, the most of ``trials`` at random places.

    A small block gets random values. The noise that evidence is measured in stays as it was.
    """
    noise = noise_of(model, night)
    before, most = whole(model, night, noise=noise), 0
    height, width = before.shape[-2:]
    for _ in range(trials):
        y, x = (int(rng.integers(length - CHANGED)) for length in (height, width))
        changed = night[0].clone()
        block = rng.random((1, 3, CHANGED, CHANGED), np.float32)
        changed[..., y : y + CHANGED, x : x + CHANGED] = torch.from_numpy(block)
        after = whole(model, (changed, *night[1:]), noise=noise)
        rows, columns = (after != before).any(1)[0].nonzero(as_tuple=True)
        for found, begin in ((rows, y), (columns, x)):
            if len(found):
                most = max(most, begin - int(found.min()), int(found.max()) - (begin + CHANGED - 1))
    return most


@contextmanager
def _statistics_of(model: NightToDay, n_ref: Tensor) -> Iterator[None]:
    if not isinstance(model, LocalModel):
        yield
        return
    model.whole = n_ref
    try:
        yield
    finally:
        model.whole = None


@contextmanager
def _noise_is(noise: Tensor | None) -> Iterator[None]:
    if noise is None:
        yield
        return
    with mock.patch.object(evidence, "_noise", return_value=noise):
        yield
