"""Views of pictures, on the host and as tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs.encoding.views import WIDEST_HALF, view_of
from tests.support.media_helpers import picture


def both(rng: np.random.Generator, size: tuple[int, int], *, tensors: bool = False) -> Picture:
    day, night = (rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(2))
    made: list[Any] = [torch.from_numpy(one) if tensors else one for one in (day, night)]
    return replace(picture(512, rgb=made[0]), seen=made[1])


@pytest.mark.parametrize("tensors", [False, True])
def test_a_pair_has_the_night_left_and_the_day_right(rng: np.random.Generator, tensors: bool) -> None:
    shown = both(rng, (48, 65), tensors=tensors)
    assert view_of(shown, "day") is shown
    night, pair = view_of(shown, "night"), view_of(shown, "pair")
    assert night.rgb is shown.seen
    assert (night.translated, pair.translated) == (False, True)
    assert night.frame is pair.frame is shown.frame
    seen, day = np.asarray(shown.seen), np.asarray(shown.rgb)
    assert isinstance(pair.rgb, torch.Tensor) == tensors
    assert np.array_equal(np.asarray(pair.rgb), np.hstack([seen[:, :64], day[:, :64]]))


@pytest.mark.parametrize("tensors", [False, True])
def test_a_wide_one_is_made_smaller(rng: np.random.Generator, tensors: bool) -> None:
    shown = both(rng, (40, 2 * WIDEST_HALF), tensors=tensors)
    pair = np.asarray(view_of(shown, "pair").rgb)
    assert pair.shape == (20, 2 * WIDEST_HALF, 3)
    for half, whole in zip(np.hsplit(pair, 2), (shown.seen, shown.rgb), strict=True):
        blocks = np.asarray(whole).reshape(20, 2, WIDEST_HALF, 2, 3).astype(float).mean(axis=(1, 3))
        assert np.abs(half - blocks).max() <= 0.51


def test_where_the_night_is_not_kept_it_is_the_picture_itself(rng: np.random.Generator) -> None:
    shown = replace(both(rng, (48, 64)), seen=None)
    assert view_of(shown, "night") is shown
    pair = np.asarray(view_of(shown, "pair").rgb)
    assert np.array_equal(pair, np.hstack([shown.rgb, shown.rgb]))
