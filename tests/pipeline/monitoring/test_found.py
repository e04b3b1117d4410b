"""What is where, as ``/api/cameras`` and the metrics tell it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as parse

from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.monitoring.api import camera_json
from nightday.pipeline.monitoring.prometheus import PrometheusMetrics
from nightday.pipeline.translation.looking import follower_of
from tests.support.watched import FakeRun


def run_with(stats: CameraStats) -> FakeRun:
    return FakeRun(stats={"gate": stats})


def samples(run: FakeRun) -> dict[tuple[str, ...], float]:
    text, _ = PrometheusMetrics(run).text()
    return {
        (sample.name.removeprefix("nightday_"), *sorted(sample.labels.values())): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


def test_what_is_in_sight_and_what_has_crossed() -> None:
    stats = CameraStats()
    stats.set_up(True)
    stats.found.begin(("yard",), tracks=True)
    stats.found.set_now(None, {"car": 2, "person": 1})
    stats.found.set_now("yard", {"car": 1})
    stats.found.set_tracks(3)
    for label in ("car", "car", "person"):
        stats.found.count_track(label)
    stats.found.count_crossing("gate", "in", "car")
    stats.found.count_crossing("gate", "in", "car")
    stats.found.count_crossing("gate", "out", "person")
    run = run_with(stats)
    (camera,) = run.cameras()
    told = camera_json(camera)
    assert {key: told[key] for key in ("objects", "zones", "lines", "tracks", "tracks_since_start")} == {
        "objects": {"car": 2, "person": 1},
        "zones": {"yard": {"car": 1}},
        "lines": {"gate": {"in": {"car": 2}, "out": {"person": 1}}},
        "tracks": 3,
        "tracks_since_start": {"car": 2, "person": 1},
    }
    values = samples(run)
    assert values["objects", "", "car", "gate"] == 2
    assert values["objects", "car", "gate", "yard"] == 1
    assert values["objects_followed", "gate"] == 3
    assert values["tracks_total", "car", "gate"] == 2
    assert values["line_crossings_total", "car", "gate", "gate", "in"] == 2
    assert values["line_crossings_total", "gate", "gate", "out", "person"] == 1


def test_a_camera_that_is_away_sees_nothing_and_one_that_looks_for_nothing_tells_nothing() -> None:
    stats = CameraStats()
    detect = {"model": "tests.support.tiny_detectors:predict", "track": True}
    config = CameraConfig.model_validate({"name": "gate", "url": "rtsp://h/s", "detect": detect})
    follower_of(config, stats.found, lambda event: None)
    stats.set_up(True)
    stats.found.set_now(None, {"car": 2})
    stats.found.set_tracks(2)
    run = run_with(stats)
    assert (samples(run)["objects", "", "car", "gate"], samples(run)["objects_followed", "gate"]) == (2, 2)
    stats.set_up(False)
    assert (samples(run)["objects", "", "car", "gate"], samples(run)["objects_followed", "gate"]) == (0, 0)
    # A reload by which it looks for nothing any more.
    follower_of(config.model_copy(update={"detect": False}), stats.found, lambda event: None)
    stats.set_up(True)
    (camera,) = run.cameras()
    assert (camera_json(camera)["objects"], camera_json(camera)["tracks"]) == (None, None)
    assert not any(name.startswith("objects") for name, *_ in samples(run))


def test_what_is_gone_counts_none() -> None:
    """A series that ended would keep its last value in whoever draws it."""
    stats = CameraStats()
    stats.found.begin(("yard",), tracks=False)
    stats.found.set_now("yard", {"car": 1})
    stats.found.set_now("yard", {})
    run = run_with(stats)
    assert samples(run)["objects", "car", "gate", "yard"] == 0
    (camera,) = run.cameras()
    assert camera_json(camera)["zones"] == {"yard": {"car": 0}}
    assert camera_json(camera)["tracks"] is None


def test_where_nothing_is_looked_for_there_is_nothing() -> None:
    run = run_with(CameraStats())
    (camera,) = run.cameras()
    told = camera_json(camera)
    assert (told["objects"], told["zones"], told["lines"], told["tracks"]) == (None, {}, {}, None)
    assert not [name for name, *_ in samples(run) if name.startswith(("objects", "line", "tracks"))]
