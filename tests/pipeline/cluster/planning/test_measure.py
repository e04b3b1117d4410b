"""Measuring, for real but in short: the program's own parts with a small engine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.cluster.planning import measure as module
from nightday.pipeline.cluster.planning.footage import DAY, make_footage
from nightday.pipeline.cluster.planning.measure import measure
from nightday.pipeline.cluster.planning.profile import Profile
from tests.support.engines import EngineStub

SLOW = 8


class Costly(EngineStub):
    """An engine of known cost: it adds up a picture so many times."""

    needs_backgrounds = True

    def __init__(self, at_once: int | None) -> None:
        super().__init__(self._work)
        self.at_once = at_once

    def _work(self, frames: np.ndarray, **backgrounds: object) -> np.ndarray:
        assert all(picture is not None for picture in backgrounds.values())
        for _ in range(SLOW):
            np.sort(frames, axis=2)
        made: np.ndarray = frames.copy()
        return made

    def prepare(self, height: int, width: int) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZES", ((96, 128), (240, 320)))
    monkeypatch.setattr(module, "ALONE_SECONDS", 0.05)
    monkeypatch.setattr(module, "BESIDE_SECONDS", 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [None, 2])
def test_what_is_measured_grows_with_the_picture_and_is_read_back(at_once: int | None) -> None:
    said: list[str] = []
    profile = measure(Costly(at_once), "costly.pt", max_batch=4, say=said.append)
    assert said == [f"measuring pictures of {size}" for size in ("64x48", "128x96", "320x240")]
    assert sorted(profile.night) == ([1, 2, 4] if at_once is None else [1])
    for curve in (profile.day, profile.encode_passed, profile.night[1].processor):
        assert all(cost > 0 for _, cost in curve.points)
    small, large = profile.night[1].processor(96 * 128), profile.night[1].processor(240 * 320)
    assert large > 1.5 * small
    # Sorting takes most of it, so a batch of four takes about four times as long as one.
    if at_once is None:
        four, one = profile.night[4].processor(76_800), profile.night[1].processor(76_800)
        assert 1.5 < four / one < 12
    assert profile.night[1].processor(76_800) > profile.day(76_800)
    assert np.mean(profile.night_spread) == pytest.approx(1)
    assert Profile.from_json(profile.to_json()) == profile
    assert profile.memory > 0


@pytest.mark.slow
def test_where_no_time_is_left_the_larger_pictures_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEGIN_WITHIN", -1.0)
    said: list[str] = []
    profile = measure(Costly(1), "costly.pt", max_batch=1, say=said.append)
    assert said[-1] == "no time is left to measure 320x240; its costs follow from those of smaller pictures"
    assert [pixels for pixels, _ in profile.day.points] == [48 * 64, 96 * 128]


def test_a_quiet_night_differs_from_its_background_by_noise_alone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        footage = make_footage((96, 128), Path(folder), frames=20)
        day = make_footage((96, 128), Path(folder), clip=DAY, frames=20)
    assert footage.backgrounds.complete_for(96, 128)
    still = footage.still[:96].astype(int)
    for frame in footage.quiet(3):
        luma = frame.to_ndarray(format="yuv420p")[:96].astype(int)
        noise = (luma - still)[(still > 10) & (still < 245)]
        assert 1.5 < noise.std() < 2.5
    moving = np.abs(footage.video[0].to_ndarray(format="yuv420p")[:96].astype(int) - still)
    assert moving.max() > 20
    assert day.still[:96].mean() > still.mean()
