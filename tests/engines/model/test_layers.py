"""What a model with backgrounds shows: x_ref where nothing is, the night relit where something surely is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from nightday.engines.model.evidence import evidence
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.layers import LayeredGenerator
from nightday.engines.model.networks import LightGenerator, ResnetGenerator
from nightday.engines.model.settings import LIGHT, GeneratorSettings

RESNET = GeneratorSettings(blocks=1, width=4, norm="batch", backgrounds=True)
SMALL = replace(LIGHT, blocks=1, width=4, backgrounds=True)


def model_of(settings: GeneratorSettings, *, level: float) -> NightToDay:
    """A model that always draws white, and says the logit of "something is present", and no expected error."""
    model = NightToDay(settings).eval()
    assert isinstance(model.generator, LayeredGenerator)
    inner = model.generator.generator
    assert isinstance(inner, (ResnetGenerator, LightGenerator))
    out = inner.layers[-2] if isinstance(inner, ResnetGenerator) else inner.out[0]
    assert isinstance(out, nn.Conv2d)
    assert out.bias is not None
    each = 4 if settings.kind == "light" else 1  # a channel for each of four pixels
    with torch.no_grad():
        out.weight.zero_()
        out.bias[: 3 * each] = 50.0  # draws white
        out.bias[3 * each : 4 * each] = level
        out.bias[4 * each :] = -50.0  # the drawing, not the relit night; no error
    return model


def scene() -> tuple[Tensor, Tensor, Tensor]:
    """A night with something in it that its background does not show; uint8 (1, H, W, 3) each."""
    torch.manual_seed(seed := torch.seed() % 2**32)
    print(f"seed {seed}")
    day = torch.randint(60, 200, (1, 12, 16, 3)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    by_night = (day * 0.4).round()
    night = by_night + torch.randint(-1, 2, by_night.shape)
    night[:, 40:56, 56:72] = torch.tensor([150.0, 20.0, 10.0])
    night, day, by_night = (x.clamp(0, 255).to(torch.uint8) for x in (night, day, by_night))
    return night, day, by_night


@pytest.mark.parametrize("settings", [RESNET, SMALL])
def test_evidence_is_shown_even_if_the_generator_denies_it(settings: GeneratorSettings) -> None:
    model = model_of(settings, level=-50.0)
    night, day, by_night = scene()
    with torch.inference_mode():
        made, trust = model(night, day, by_night)
    relit = evidence(*(x.permute(0, 3, 1, 2).float() / 255 for x in (night, day, by_night))).relit
    wanted = (relit.clamp(0, 1) * 255).permute(0, 2, 3, 1)
    inside, far = (slice(None), slice(44, 52), slice(60, 68)), (slice(None), slice(80, 96))
    assert (made[inside] - wanted[inside]).abs().max() <= 2
    assert (made[far].int() - day[far].int()).abs().max() <= 1
    drawn, remembered, unclear = trust.float().unbind(-1)
    assert (drawn + remembered + unclear - 255).abs().max() <= 2
    assert drawn[inside].min() > 250
    assert remembered[far].min() > 250


@pytest.mark.parametrize("settings", [RESNET, SMALL])
def test_nothing_is_drawn_where_there_is_no_evidence(settings: GeneratorSettings) -> None:
    model = model_of(settings, level=50.0)
    something, day, by_night = scene()
    night = (by_night.int() + torch.randint(-1, 2, by_night.shape)).clamp(0, 255).to(torch.uint8)
    with torch.inference_mode():
        made, _ = model(night, day, by_night)
        seen, _ = model(something, day, by_night)
    assert (made.int() - day.int()).abs().max() <= 1
    assert seen[:, 44:52, 60:68].min() >= 250


def test_backgrounds_are_needed() -> None:
    with pytest.raises(ValueError, match="backgrounds by day and by night"):
        NightToDay(SMALL)(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    for settings in ({"reference": (32, 32)}, {"input": "rgb"}):
        with pytest.raises(ValueError, match="backgrounds=True"):
            replace(SMALL, **settings)
