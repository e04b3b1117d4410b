"""The metrics, read back with prometheus-client's own parsers."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from nightday.engines import device_copies
from nightday.engines.backends.base import EngineInfo
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import (
    BATCH_BOUNDS,
    LATENCY_BOUNDS,
    CameraStats,
    Collected,
    DropReason,
    Histogram,
)
from nightday.pipeline.core.events import EngineChanged, EventBus, Notice, OutputChanged, SourceChanged
from nightday.pipeline.core.faults import FaultReason
from nightday.pipeline.monitoring import prometheus as metrics_module
from nightday.pipeline.monitoring.prometheus import PrometheusMetrics
from tests.support.watched import FakeRun

SECRET = "Zk9q7Wx2"
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(run: FakeRun, accept: str = "") -> Values:
    """Every sample by its name and labels; none may be there twice."""
    text, content_type = PrometheusMetrics(run).text(accept=accept)
    assert content_type.startswith("application/openmetrics-text" if accept else "text/plain")
    parse = parse_openmetrics if accept else parse_plain
    values: Values = {}
    for family in parse(text.decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in values
            values[key] = sample.value
    return values


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"nightday_{name}", frozenset(labels.items())


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_counts_come_out_as_they_went_in(accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        device_copies, "_counts", Counter()
    )  # the process's own: other tests have copied frames
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    run = FakeRun(stats={"gate": CameraStats(), "yard": CameraStats()})
    expected: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
    for _ in range(500):
        name = rng.choice(["gate", "yard"])
        stats = run.stats[name]
        match rng.randrange(6):
            case 0:
                stats.count_decoded()
                expected[key("frames_decoded_total", camera=name)] += 1
            case 1:
                translated = rng.random() < 0.5
                stats.count_output(translated=translated)
                kind = "translated" if translated else "passed"
                expected[key(f"frames_{kind}_total", camera=name)] += 1
            case 2:
                reason = rng.choice(get_args(DropReason))
                stats.count_dropped(reason)
                expected[key("frames_dropped_total", camera=name, reason=reason)] += 1
            case 3:
                reason = rng.choice(get_args(FaultReason))
                stats.count_reconnect(reason)
                expected[key("reconnects_total", camera=name, reason=reason)] += 1
            case 4:
                result = rng.choice(get_args(Collected))
                stats.count_collected(result)
                expected[key("collected_total", camera=name, result=result)] += 1
            case _:
                labels = rng.choices(["car", "bus"], k=rng.randrange(3))
                stats.count_detections(labels)
                for label in labels:
                    expected[key("detections_total", camera=name, label=label)] += 1
    values = read(run, accept)
    found = {
        place: value
        for place, value in values.items()
        if place[0].endswith("_total") and place[0].startswith("nightday_") and value
    }
    assert found == expected


def test_reasons_are_there_before_their_first_time() -> None:
    values = read(FakeRun())
    assert all(
        values[key("frames_dropped_total", camera="gate", reason=r)] == 0 for r in get_args(DropReason)
    )
    assert all(values[key("reconnects_total", camera="gate", reason=r)] == 0 for r in get_args(FaultReason))
    assert all(values[key("collected_total", camera="gate", result=r)] == 0 for r in get_args(Collected))


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_histograms_against_numpy(accept: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    run = FakeRun()
    latencies = {
        stage: np.concatenate([rng.exponential(0.3, 200), rng.choice(LATENCY_BOUNDS, 20)])
        for stage in ("translated", "output")
    }
    for seconds in latencies["translated"]:
        run.stats["gate"].count_latency(float(seconds), stage="translated")
    for seconds in latencies["output"]:
        run.stats["gate"].count_latency(float(seconds))
    sizes = rng.integers(1, 300, 100)
    for size in sizes:
        run.batches.observe(int(size))
    values = read(run, accept)
    for stage, seconds in latencies.items():
        labels = {"camera": "gate", "stage": stage}
        for bound in LATENCY_BOUNDS:
            below = values[key("frame_latency_seconds_bucket", le=repr(float(bound)), **labels)]
            assert below == np.count_nonzero(seconds <= bound)
        assert values[key("frame_latency_seconds_bucket", le="+Inf", **labels)] == seconds.size
        assert values[key("frame_latency_seconds_count", **labels)] == seconds.size
        assert values[key("frame_latency_seconds_sum", **labels)] == pytest.approx(seconds.sum())
    for bound in BATCH_BOUNDS:
        assert values[key("batch_size_bucket", le=repr(float(bound)))] == np.count_nonzero(sizes <= bound)
    assert values[key("batch_size_count")] == sizes.size
    assert values[key("batch_size_sum")] == sizes.sum()


def test_the_last_latencies_are_those_of_the_outputs() -> None:
    stats = CameraStats()
    stats.count_latency(9.0, stage="translated")
    assert stats.snapshot().latency_p95 is None
    for seconds in (0.1, 0.2, 0.3):
        stats.count_latency(seconds)
    assert stats.snapshot().latency_p50 == pytest.approx(0.2)
    assert stats.snapshot().latency_p95 == pytest.approx(np.percentile([0.1, 0.2, 0.3], 95))


def test_a_histogram_loses_nothing_between_threads() -> None:
    histogram = Histogram((1, 2))

    def observe() -> None:
        for number in range(20_000):
            histogram.observe(number % 4)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = histogram.snapshot()
    assert snapshot.counts == (40_000, 20_000, 20_000)
    assert snapshot.total == 4 * 5_000 * (0 + 1 + 2 + 3)


def test_states() -> None:
    outputs = (
        OutputChanged(camera="gate", output="out/a.mp4", state="writing"),
        OutputChanged(camera="gate", output="rtsp://h/day", state="retrying", reason="refused"),
    )
    run = FakeRun(stats={name: CameraStats() for name in ("gate", "yard", "dock")})
    run.stats["gate"].set_up(True)
    run.states = {"gate": {"night": True, "outputs": outputs}, "yard": {"night": False, "state": "retrying"}}
    values = read(run)
    assert [values[key("camera_up", camera=name)] for name in run.stats] == [1, 0, 0]
    assert values[key("camera_night", camera="gate")] == 1
    assert values[key("camera_night", camera="yard")] == 0
    assert key("camera_night", camera="dock") not in values  # it has no gate
    assert values[key("output_up", camera="gate", output="out/a.mp4")] == 1
    assert values[key("output_up", camera="gate", output="rtsp://h/day")] == 0


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_engines(accept: str) -> None:
    info = EngineInfo("eager", "fp32", 'ga"te\n.pt')
    run = FakeRun(loaded=(info, EngineInfo("openvino", "bf16", "gate.pt"), info))  # a/gate.pt and b/gate.pt
    values = read(run, accept)
    assert values[key("engine_info", backend="openvino", precision="bf16", model="gate.pt")] == 1
    assert values[key("engine_info", backend="eager", precision="fp32", model='ga"te\n.pt')] == 1


def test_no_secret_comes_out_and_masked_outputs_are_one_series() -> None:
    urls = [CameraUrl(f"rtsp://viewer:{SECRET}{n}@10.0.0.5/day") for n in range(2)]
    outputs = (
        OutputChanged(camera="gate", output=urls[0].reveal(), state="writing"),
        OutputChanged(
            camera="gate",
            output=urls[1].reveal(),
            state="retrying",
            reason="refused",
            detail=f"{urls[1].reveal()} refused",
        ),
    )
    run = FakeRun(states={"gate": {"outputs": outputs, "outputs_in_trouble": (urls[0].reveal(),)}})
    run.stats["gate"].count_reconnect(f"rtsp://viewer:{SECRET}0@10.0.0.5/day")
    text, _ = PrometheusMetrics(run).text()
    assert SECRET not in text.decode()
    assert read(run)[key("output_up", camera="gate", output="rtsp://***@10.0.0.5/day")] == 0


def test_the_process_is_among_them() -> None:
    values = read(FakeRun())
    assert values["process_resident_memory_bytes", frozenset()] > 1e6
    assert values["process_open_fds", frozenset()] >= 3


@pytest.mark.alone  # it measures time
def test_secrets_of_a_thousand_cameras_cost_a_scrape_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less CPU time than all else; looking for each secret by itself in each label took several times as long."""
    names = [f"camera-{number:04}" for number in range(1000)]
    run = FakeRun(stats={name: CameraStats() for name in names})
    for number, name in enumerate(names):
        url = CameraUrl(f"rtsp://viewer:{secrets.token_hex(8)}%40@10.0.{number // 250}.{number % 250}/day")
        run.states[name] = {"outputs": (OutputChanged(camera=name, output=str(url), state="writing"),)}
    metrics = PrometheusMetrics(run)

    def scrape() -> float:
        began = time.thread_time()
        metrics.text()
        return time.thread_time() - began

    with_masks = min(scrape() for _ in range(3))
    monkeypatch.setattr(metrics_module, "redact", lambda text: text)
    without = min(scrape() for _ in range(3))
    print(f"{with_masks:.3f} s, {without:.3f} s of it for other things than masks")
    assert with_masks < 2 * without


def test_copies_of_frames_are_there_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_copies, "_counts", Counter({("to_host", "encode"): 7}))
    values = read(FakeRun(stats={}))
    series = {
        labels: value for (name, labels), value in values.items() if name == "nightday_frame_copies_total"
    }
    assert len(series) == len(get_args(device_copies.Direction)) * len(get_args(device_copies.CopyReason))
    assert series.pop(frozenset({("direction", "to_host"), ("reason", "encode")})) == 7
    assert set(series.values()) == {0}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_events_are_counted_by_name_and_camera(accept: str) -> None:
    run = FakeRun()
    bus = EventBus(run.events.count)
    for _ in range(2):
        bus.publish(SourceChanged(camera="gate", state="playing"))
    bus.publish(SourceChanged(camera="yard", state="retrying", reason="refused"))
    bus.publish(EngineChanged(step="swapped", cameras=("gate", "yard"), detail="another engine"))
    bus.publish(Notice(name="reloaded", detail="reloaded"))
    events = {
        labels: value
        for (name, labels), value in read(run, accept).items()
        if name == "nightday_events_total"
    }
    assert events == {
        frozenset({("event", event), ("camera", camera)}): count
        for event, camera, count in (
            ("camera_playing", "gate", 2),
            ("camera_retrying", "yard", 1),
            ("engine_swapped", "gate", 1),
            ("engine_swapped", "yard", 1),
            ("reloaded", "", 1),
        )
    }
