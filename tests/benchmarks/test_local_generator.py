"""The local generator: how far a change of the night reaches, and tiles beside the whole picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.local_generator.model import (
    ALIKE,
    REACH,
    WITH_BACKGROUNDS,
    LocalDraw,
    LocalGenerator,
    LocalModel,
    started_from,
)
from benchmarks.local_generator.tiles import Night, in_tiles, reach, whole
from nightday.engines.backends.openvino import regions
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.layers import LayeredGenerator
from nightday.train.scores.scorer import decibel

# A tile equals the whole picture, dB.
EQUAL = 60.0


@pytest.fixture
def rng() -> np.random.Generator:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


def local_model() -> LocalModel:
    """One with random weights whose every step counts: batch norms that change something, large products."""
    model = LocalModel().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def busy_night(rng: np.random.Generator, height: int, width: int) -> Night:
    """A night that differs from its background everywhere, so that something may be drawn everywhere."""
    by_day, by_night, night = (
        torch.from_numpy(rng.random((1, 3, height // 4, width // 4), np.float32))
        .repeat_interleave(4, 2)
        .repeat_interleave(4, 3)
        for _ in range(3)
    )
    return night, by_day, 0.4 * by_night


def test_a_change_of_the_night_reaches_48_pixels_at_most(rng: np.random.Generator) -> None:
    found = reach(local_model(), busy_night(rng, 176, 208), rng, trials=24)
    print(found)
    assert REACH // 2 < found <= REACH


def test_tiles_equal_the_whole_picture(rng: np.random.Generator) -> None:
    model, night = local_model(), busy_night(rng, 200, 264)
    made, wanted = in_tiles(model, night), whole(model, night)
    assert decibel(float((made - wanted).mul(255).square().mean())) >= EQUAL
    # With half of the margin they do not, so that the comparison can fail.
    assert decibel(float((in_tiles(model, night, margin=16) - wanted).mul(255).square().mean())) < EQUAL


def test_what_is_measured_sees_that_the_general_generator_reaches_farther(rng: np.random.Generator) -> None:
    model = NightToDay(WITH_BACKGROUNDS).eval()
    assert reach(model, busy_night(rng, 176, 208), rng, trials=3) > REACH


def test_it_begins_with_the_general_model_where_both_are_alike(rng: np.random.Generator) -> None:
    general, made = NightToDay(WITH_BACKGROUNDS), LocalModel()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    started_from(general.state_dict(), made)
    first = "generator.generator.to_half.0.weight"
    for name, value in made.state_dict().items():
        wanted = general.state_dict()[name] if name.startswith(ALIKE) else before[name]
        if name == first:  # without the channel that tells where evidence is near
            wanted = torch.cat((wanted[:, :24], wanted[:, 25:]), dim=1)
        assert torch.equal(value, wanted), name


def test_the_graph_that_is_timed_gives_what_the_model_gives(rng: np.random.Generator) -> None:
    model, night = local_model(), busy_night(rng, 64, 96)
    draw = LocalDraw(model)
    with torch.no_grad():
        known = model.known(*night[1:])
        seen = model.see_beside(night[0], known)
        layered = model.generator
        assert isinstance(layered, LayeredGenerator)
        inner = layered.generator
        assert isinstance(inner, LocalGenerator)
        wanted = inner.after_first(inner.first(torch.cat((seen, known.seen), dim=1)))
        made = draw(seen[:, :24], draw.of_backgrounds(known.seen))
    assert torch.allclose(made, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_squares_with_the_context_of_the_product_equal_the_whole(rng: np.random.Generator) -> None:
    draw = LocalDraw(local_model())
    seen, first = (torch.from_numpy(rng.random((1, 24, 96, 112), np.float32)) for _ in range(2))
    top, left, side = (
        int(rng.integers(low, high)) * regions.STEP for low, high in ((0, 5), (0, 9), (12, 20))
    )
    place = np.s_[..., top : top + side, left : left + side]
    inner = np.s_[..., regions.CONTEXT : side - regions.CONTEXT, regions.CONTEXT : side - regions.CONTEXT]
    with torch.no_grad():
        wanted, made = draw(seen, first)[place][inner], draw(seen[place], first[place])[inner]
    assert torch.allclose(made, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
