"""Who wins a round: by figures, and by models of which it is known which is the better one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nightday.engines.bundled import bundled_clips, bundled_weights
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.train.footage.night_conditions import random_conditions
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, Scene, read_frames, temporal_median
from nightday.train.scores.baselines import RELIT_PASTE
from nightday.train.scores.judge import GAIN, LESS_CLEAN, LESS_SHOWN, Standing, decide, judge

GENERAL = Standing("the general model", 25.0, 17.0, 0.95, 36.0)
PASTE = Standing(RELIT_PASTE, 22.0, 16.0, 1.0, 99.0)  # of the night, as it always is
GOOD = Standing("the new model", 27.0, 19.0, 0.96, 38.0)


@pytest.mark.parametrize(
    ("new", "won"),
    [
        (GOOD, True),
        (replace(GOOD, whole=25.0, moving=17.0), False),
        (replace(GOOD, whole=25.0 + 2.1 * GAIN, moving=17.0), True),
        (replace(GOOD, shown=0.95 - 1.1 * LESS_SHOWN), False),
        (replace(GOOD, clean=36.0 - 1.1 * LESS_CLEAN), False),
        (replace(GOOD, shown=float("nan")), True),  # a night in which nothing was
    ],
)
def test_a_winner_is_better_by_day_and_no_worse_by_night(new: Standing, won: bool) -> None:
    found = decide([new, GENERAL, PASTE], models=2)
    assert found.won is won
    assert found.why


def test_the_relit_paste_has_to_be_beaten_where_the_truth_is_known() -> None:
    assert not decide([GOOD, GENERAL, replace(PASTE, whole=28.0, moving=20.0)], models=2).won


def test_the_model_that_serves_has_to_be_beaten_too() -> None:
    serving = replace(GOOD, name="the model that serves")
    found = decide([GOOD, GENERAL, serving, PASTE], models=3)
    assert not found.won
    assert "the model that serves" in found.why


@pytest.fixture(scope="module")
def days() -> list[Image]:
    """Moments of a real street, 176×144."""
    clip = bundled_clips() / "day_tfl_09731_a1_barnet.mp4"
    return [cv2.resize(frame, (176, 144), interpolation=cv2.INTER_AREA) for frame in read_frames(clip)[::6]]


def test_models_are_told_apart(days: list[Image], rng: np.random.Generator, tmp_path: Path) -> None:
    """The general model beats one whose weights are noise, and is beaten by neither that one nor its equal."""
    trained, held = days[:-6], days[-6:]
    x_ref = temporal_median(trained)
    simulate = NightSimulator(random_conditions(rng), x_ref.shape[:2], rng)
    moving = [np.abs(day.astype(int) - x_ref).max(axis=2) > 30 for day in days]
    nights = [simulate(day, mask) for day, mask in zip(days, moving, strict=True)]
    scene = Scene("street", trained, nights[:-6], x_ref)
    general = bundled_weights("general.pt")
    broken = load_checkpoint(general)
    torch.manual_seed(int(rng.integers(2**31)))
    with torch.no_grad():
        for weights in broken.parameters():
            weights.normal_(std=0.2)
    save_checkpoint(tmp_path / "broken.pt", broken)

    equal = judge(scene, held, nights[-6:], general, {"the general model": general})
    assert not equal.won
    assert equal.standings[0].score == pytest.approx(equal.standings[1].score)
    worse = judge(scene, held, nights[-6:], tmp_path / "broken.pt", {"the general model": general})
    assert not worse.won
    new, other = worse.standings[:2]
    # Noise that happens to hide all that moves shows the background, which is not so bad.
    assert new.score < other.score - 1
    names = [one.name for one in equal.standings]
    assert names[:2] == ["the new model", "the general model"]
    assert RELIT_PASTE in names
