"""Why a night is brightened, as a camera's state tells it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from nightday.pipeline.supervision.camera import _brightened
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.own_backgrounds import LEARNING_NIGHT, NO_DAY


@pytest.mark.parametrize(
    ("why", "learnt", "said"),
    [
        (NO_DAY, None, NO_DAY),
        (NO_DAY, 0.0, NO_DAY),
        (NO_DAY, 0.22, "22 % of its day is learnt so far"),
        (LEARNING_NIGHT, 0.22, LEARNING_NIGHT),
        ("", 0.22, ""),
    ],
)
def test_while_a_day_is_learnt_it_is_told_how_far(why: str, learnt: float | None, said: str) -> None:
    channel = SimpleNamespace(
        translate="always", gate=None, brightened=why, learnt=lambda time: learnt if time == "day" else 0.9
    )
    assert _brightened(cast(Channel, channel)) == said
    channel.translate = "never"
    assert _brightened(cast(Channel, channel)) == ""
