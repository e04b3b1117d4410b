"""Where the generator runs: squares that hold all that may be drawn, and the picture that comes of them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.backends.openvino import regions
from nightday.engines.backends.openvino.engine import OpenVinoEngine
from nightday.engines.backends.openvino.regions import CONTEXT, SIDES, STEP
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import synthetic_backgrounds
from nightday.engines.model.settings import LIGHT
from tests.engines.backends.test_backgrounds import model_of

Pixels = NDArray[np.uint8]


def marked(rng: np.random.Generator, whole: tuple[int, int], count: int, most: int) -> NDArray[np.float32]:
    near = np.zeros((whole[0] // 2, whole[1] // 2), np.float32)
    for _ in range(count):
        top, left = (int(rng.integers(0, side)) for side in near.shape)
        down, across = rng.integers(1, most, 2)
        near[top : top + down, left : left + across] = rng.uniform(0.01, 1)
    return near


def test_squares_hold_all_that_is_near_with_enough_around_it(rng: np.random.Generator) -> None:
    found = 0
    for _ in range(200):
        whole = (int(rng.integers(20, 70)) * 4, int(rng.integers(20, 90)) * 4)
        available = regions.sizes(whole)
        near = marked(rng, whole, int(rng.integers(1, 5)), 12)
        made = regions.regions(near, whole, available)
        if made is None:
            continue
        found += 1
        # Near in pixels, and one more to each side by interpolation.
        large = torch.nn.functional.interpolate(
            torch.from_numpy(near)[None, None], scale_factor=2, mode="bilinear"
        )
        left_out = large[0, 0].numpy() > 0
        for region in made:
            square, counts = region.square, region.counts
            assert square.size in available
            assert square.top % STEP == square.left % STEP == 0
            assert 0 <= square.top < square.bottom <= whole[0]
            assert 0 <= square.left < square.right <= whole[1]
            for inner, outer, end in (
                (counts.top, square.top, 0),
                (counts.left, square.left, 0),
                (-counts.bottom, -square.bottom, -whole[0]),
                (-counts.right, -square.right, -whole[1]),
            ):
                assert inner - outer == (0 if outer == end else CONTEXT)
            left_out[counts.place] = False
        assert not left_out.any()
        assert (
            sum(one.square.size[0] * one.square.size[1] for one in made) < regions.MOST * whole[0] * whole[1]
        )
    assert found > 40


def test_a_busy_or_a_small_picture_is_run_as_a_whole(rng: np.random.Generator) -> None:
    whole = 144, 176
    near = np.zeros((72, 88), np.float32)
    near[::10, ::10] = 1
    assert regions.regions(near, whole, regions.sizes(whole)) is None
    near[:] = 0
    near[20, 5:80] = 1  # no square is as wide
    assert regions.regions(near, whole, regions.sizes(whole)) is None
    assert regions.sizes((80, 96)) == []
    near[:] = 0
    near[30, 30] = 1
    assert regions.regions(near, whole, []) is None
    assert regions.regions(near, whole, [(SIDES[0],) * 2]) is not None


SIZE = 256, 320


@pytest.fixture
def camera(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, NightToDay, Pixels, Pixels]:
    """An engine of a small model, the model, and a camera's backgrounds by day and by night."""
    monkeypatch.setattr("nightday.engines.cores.processors", lambda: 1)
    model = model_of(replace(LIGHT, blocks=1, width=8, backgrounds=True))
    model.side = 256
    day, night = synthetic_backgrounds(SIZE)
    for picture in (day, night):
        picture.setflags(write=False)
    return OpenVinoEngine(copy.deepcopy(model), name="small.pt", precision="fp32"), model, day, night


def something(rng: np.random.Generator, night: Pixels, at: tuple[int, int]) -> Pixels:
    seen = night + rng.normal(0, 1.5, night.shape)
    y, x = at
    seen[y : y + 24, x : x + 24] += np.where(rng.random((24, 24, 1)) < 0.5, 120, 60)
    return np.clip(seen, 0, 255).astype(np.uint8)


def test_the_picture_is_that_of_the_whole(rng: np.random.Generator, camera: Any) -> None:
    engine, model, day, night = camera
    with torch.inference_mode():
        for at in ((120, 150), (0, 0), (232, 296)):
            frame = something(rng, night, at)
            made = engine.translate(frame[None], day[None], night[None])
            assert made.ran == (SIDES[0] ** 2 / (128 * 160),)
            right, _ = model(*(torch.from_numpy(np.array(one))[None] for one in (frame, day, night)))
            off = np.abs(made.day[0].astype(int) - right[0].numpy())
            print(f"at {at}: {off.max()} at most, {np.square(off).mean():.5f} in the mean of squares")
            assert np.square(off).mean() < 255**2 / 10**5  # 50 dB; it has no more than its context
            y, x = at
            assert np.abs(made.day[0].astype(int) - day)[y : y + 24, x : x + 24].max() > 30  # it is shown
    busy = night
    for y in range(10, 230, 60):
        for x in range(10, 300, 70):
            busy = something(rng, busy, (y, x))
    whole = engine.translate(busy[None], day[None], night[None])
    assert whole.ran == (1.0,)


def test_where_nothing_is_the_generator_is_left_out_and_the_day_background_is_shown(
    rng: np.random.Generator, camera: Any
) -> None:
    engine, model, day, night = camera
    frame = np.clip(night + rng.normal(0, 1.5, night.shape), 0, 255).astype(np.uint8)
    made = engine.translate(frame[None], day[None], night[None])
    assert made.ran == (0.0,)
    np.testing.assert_array_equal(made.day[0], day)
    # What it expects to be wrong is what it expects of the night background.
    pictures = (torch.from_numpy(np.array(one))[None] for one in (night, day, night))
    with torch.inference_mode():
        _, trust = model(*pictures)
    assert np.abs(made.trust[0].astype(int) - trust[0].numpy()).mean() < 1
    assert made.trust[0, ..., 2].std() > 1


def test_it_can_be_turned_off(rng: np.random.Generator, camera: Any) -> None:
    _, model, day, night = camera
    plain = OpenVinoEngine(copy.deepcopy(model), name="small.pt", precision="fp32", reuse=False)
    frame = something(rng, night, (120, 150))
    made = plain.translate(frame[None], day[None], night[None])
    assert made.ran is None
    with torch.inference_mode():
        right, trust = model(*(torch.from_numpy(np.array(one))[None] for one in (frame, day, night)))
    for got, want in ((made.day, right), (made.trust, trust)):
        assert got is not None
        off = np.abs(got.astype(int) - want.numpy())
        assert (off > 1).mean() < 1e-3


def test_frames_of_a_batch_tell_where_each_ran(
    rng: np.random.Generator, camera: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model, day, night = camera
    monkeypatch.setattr("nightday.engines.cores.processors", lambda: 2)
    engine = OpenVinoEngine(copy.deepcopy(model), name="small.pt", precision="fp32")
    frames = np.stack([night, something(rng, night, (120, 150)), night])
    ran = engine.translate(frames, day[None], night[None]).ran
    assert ran is not None
    assert ran[0] == ran[2] == 0 < ran[1] < 1
    for _ in range(2):  # what was drawn for one frame is not left in the next
        again = engine.translate(frames, day[None], night[None])
        np.testing.assert_array_equal(again.day[2], day)
