"""What a camera that learns its scene says: on the page, as JSON and as metrics."""

from __future__ import annotations

from typing import Any

import pytest

from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.status import CameraStatus, generator_text, learning_text
from nightday.pipeline.monitoring.api import camera_json
from nightday.pipeline.monitoring.prometheus import _camera_metrics
from nightday.pipeline.monitoring.web.table import Page
from tests.support.watched import FakeRun


def status(**state: Any) -> CameraStatus:
    (camera,) = FakeRun(states={"gate": state}).cameras()
    return camera


def samples_of(camera: CameraStatus) -> dict[tuple[str, ...], float]:
    """The metrics of a camera, by their names and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in _camera_metrics([camera])
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({}, None),
        ({"learnt_day": 0.4, "learnt_night": 0.0}, "learning your empty scene by day: 40 %"),
        ({"learnt_day": 0.4, "learnt_night": 0.0, "night": False}, "learning your empty scene by day: 40 %"),
        (
            {"learnt_day": 1.0, "learnt_night": 0.111, "night": True},
            "learning your empty scene by night: 11 %",
        ),
        ({"learnt_day": 0.95, "learnt_night": 0.0, "night": False}, None),
        ({"learnt_day": 0.0, "learnt_night": 1.0, "night": True}, None),
    ],
)
def test_how_far_the_scene_in_sight_is_learnt(state: dict[str, Any], text: str | None) -> None:
    camera = status(**state)
    assert learning_text(camera) == text
    assert camera_json(camera)["learning"] == text


def test_the_page_says_it_and_why_a_night_is_brightened() -> None:
    run = FakeRun(
        states={
            "gate": {"night": True, "learnt_day": 0.0, "learnt_night": 0.3, "brightened": "no day seen yet"}
        }
    )
    html = Page(run).html()
    assert "Brightened, not translated: no day seen yet." in html
    assert "Learning your empty scene by night: 30 %." in html
    assert "earning your" not in Page(FakeRun()).html()


def test_the_api_and_the_metrics_hold_the_numbers() -> None:
    stats = CameraStats()
    stats.count_trust(remembered=0.875, unclear=0.03125)
    stats.count_output(translated=False, brightened=True)
    run = FakeRun(stats={"gate": stats}, states={"gate": {"learnt_day": 1.0, "learnt_night": 0.25}})
    (camera,) = run.cameras()
    entry = camera_json(camera)
    assert entry["learnt"] == {"day": 1.0, "night": 0.25}
    assert (entry["remembered_share"], entry["unclear_share"]) == (0.875, 0.031)
    assert (entry["brightened"], entry["passed"], entry["brightened_because"]) == (1, 0, None)
    samples = samples_of(camera)
    assert samples["nightday_remembered_share", "gate"] == 0.875
    assert samples["nightday_unclear_share", "gate"] == 0.03125
    assert samples["nightday_scene_learnt", "gate", "day"] == 1.0
    assert samples["nightday_scene_learnt", "gate", "night"] == 0.25
    assert samples["nightday_frames_brightened_total", "gate"] == 1


def test_detections_that_were_used_again_are_counted() -> None:
    stats = CameraStats()
    (camera,) = FakeRun(stats={"gate": stats}).cameras()
    assert samples_of(camera)["nightday_detections_reused_total", "gate"] == 0
    for _ in range(3):
        stats.count_detections_reused()
    (camera,) = FakeRun(stats={"gate": stats}).cameras()
    assert camera_json(camera)["detections_reused"] == 3
    assert samples_of(camera)["nightday_detections_reused_total", "gate"] == 3


def test_how_much_the_generator_ran_is_told_on_the_page_as_json_and_as_metrics() -> None:
    stats = CameraStats()
    shares = [0.5, 0.0, 0.25, 1.0, 0.0]
    mean = shares[0]
    for share in shares:
        stats.count_ran(share)
        mean += (share - mean) / 250
    run = FakeRun(stats={"gate": stats})
    (camera,) = run.cameras()
    entry = camera_json(camera)
    assert entry["generator_share"] == pytest.approx(mean, abs=5e-4)
    assert entry["generator_ran"] == {"whole": 1, "parts": 2, "none": 2}
    samples = samples_of(camera)
    assert samples["nightday_pixels_run_ratio", "gate"] == pytest.approx(mean)
    frames = {how: samples["nightday_generator_frames_total", "gate", how] for how in entry["generator_ran"]}
    assert frames == entry["generator_ran"]
    assert "The generator runs on 50 % of the picture; the rest is as in the empty scene." in Page(run).html()
    stats.count_ran(None)  # an engine that does not tell has taken over
    (camera,) = run.cameras()
    assert camera_json(camera)["generator_share"] is None
    assert ("nightday_pixels_run_ratio", "gate") not in samples_of(camera)
    assert samples_of(camera)["nightday_generator_frames_total", "gate", "parts"] == 2
    assert "generator" not in Page(run).html()


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "the generator runs on 0 % of the picture; the rest is as in the empty scene"),
        (0.004, "the generator runs on less than 1 % of the picture; the rest is as in the empty scene"),
        (0.994, "the generator runs on 99 % of the picture; the rest is as in the empty scene"),
        (1.0, "the generator runs on the whole picture, as much of it differs from the empty scene"),
        (None, None),
    ],
)
def test_how_much_the_generator_runs_in_words(share: float | None, text: str | None) -> None:
    stats = CameraStats()
    stats.count_ran(share)
    (camera,) = FakeRun(stats={"gate": stats}).cameras()
    assert generator_text(camera) == text


def test_a_camera_that_learns_nothing_has_no_such_numbers() -> None:
    camera = status()
    entry = camera_json(camera)
    assert entry["learnt"] is None
    assert (entry["learning"], entry["remembered_share"], entry["unclear_share"]) == (None, None, None)
    names = {sample.name for family in _camera_metrics([camera]) for sample in family.samples}
    assert not names & {"nightday_remembered_share", "nightday_unclear_share", "nightday_scene_learnt"}
    assert (entry["generator_share"], entry["generator_ran"]) == (None, None)
    assert not names & {"nightday_pixels_run_ratio", "nightday_generator_frames_total"}
