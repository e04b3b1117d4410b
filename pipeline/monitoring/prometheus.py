"""The metrics for Prometheus. A collector reads the run's counters when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from nightday.engines import device_copies

from ..core.camera_url import redact
from ..core.counters import Collected, DropReason, HistogramSnapshot, Ran
from ..core.faults import FaultReason
from ..core.status import CameraStatus, RunState
from .found import found_metrics


class PrometheusMetrics:
    """The metrics of one run, in a registry of their own, with those of the process."""

    def __init__(self, watched: RunState, *more: Collector) -> None:
        self._registry = CollectorRegistry()
        for collector in (_RunCollector(watched), *more):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)

    def text(self, *, accept: str = "") -> tuple[bytes, str]:
        """The metrics, and their content type: what an ``Accept`` header of ``accept`` prefers, or plain text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _RunCollector(Collector):
    def __init__(self, watched: RunState) -> None:
        self._watched = watched

    def collect(self) -> Iterable[Metric]:
        """Every metric at this moment."""
        cameras = self._watched.cameras()
        yield from _camera_metrics(cameras)
        yield from found_metrics(cameras)
        yield _latencies(cameras)
        yield _outputs(cameras)
        yield _events(self._watched.events.snapshot())
        batches = HistogramMetricFamily(
            "nightday_batch_size", "Frames given to an engine at once.", labels=()
        )
        _add_histogram(batches, (), self._watched.batches.snapshot())
        yield batches
        crossings = CounterMetricFamily(
            "nightday_frame_copies",
            "Whole frames copied between the host and a GPU.",
            labels=("direction", "reason"),
        )
        for labels, count in device_copies.counted().items():
            crossings.add_metric(labels, count)
        yield crossings
        more = GaugeMetricFamily(
            "nightday_more_cameras",
            "How many more cameras the machine can take, by what those that run have cost.",
            labels=(),
        )
        if (room := self._watched.room()) is not None:
            more.add_metric((), room.more)
        yield more
        engines = InfoMetricFamily("nightday_engine", "The engines that are loaded.", labels=())
        for info in dict.fromkeys(self._watched.engines()):  # two of one name and kind are one series
            values = {"backend": info.backend, "precision": info.precision, "model": redact(info.model)}
            engines.add_metric((), values)
        yield engines


def _camera_metrics(cameras: Sequence[CameraStatus]) -> Iterator[Metric]:
    up = GaugeMetricFamily("nightday_camera_up", "Whether the camera delivers frames.", labels=("camera",))
    night = GaugeMetricFamily(
        "nightday_camera_night", "Whether its gate takes it for night.", labels=("camera",)
    )
    by_arrival = GaugeMetricFamily(
        "nightday_camera_clock_by_arrival",
        "Whether its pictures are placed by the time they arrive, since its own clock is not believed.",
        labels=("camera",),
    )
    unsure = GaugeMetricFamily(
        "nightday_camera_night_unsure", "Whether its gate cannot tell night from day.", labels=("camera",)
    )
    fits = GaugeMetricFamily(
        "nightday_model_fits", "Whether its pictures show its model's scene.", labels=("camera",)
    )
    remembered = GaugeMetricFamily(
        "nightday_remembered_share",
        "Mean share of the pictures translated lately that is remembered from the day.",
        labels=("camera",),
    )
    unclear = GaugeMetricFamily(
        "nightday_unclear_share",
        "Mean share of the pictures translated lately that is unclear.",
        labels=("camera",),
    )
    generator = GaugeMetricFamily(
        "nightday_pixels_run_ratio",
        "Mean share of the pictures translated lately on which the generator ran.",
        labels=("camera",),
    )
    ran = CounterMetricFamily(
        "nightday_generator_frames",
        "Pictures translated, by where the generator ran: on the whole, in parts or not at all.",
        labels=("camera", "ran"),
    )
    learnt = GaugeMetricFamily(
        "nightday_scene_learnt", "How far its empty scene is learnt, 0 to 1.", labels=("camera", "time")
    )
    own = GaugeMetricFamily(
        "nightday_own_model", "Whether a model of its own serves the camera.", labels=("camera",)
    )
    own_progress = GaugeMetricFamily(
        "nightday_own_model_progress",
        "How far the stage is that the camera's next own model is in, 0 to 1.",
        labels=("camera", "stage"),
    )
    counters = {
        name: CounterMetricFamily(f"nightday_frames_{name}", what, labels=("camera",))
        for name, what in (
            ("decoded", "Frames decoded."),
            ("translated", "Pictures translated and handed to the outputs."),
            ("passed", "Pictures handed to the outputs as they came."),
            (
                "brightened",
                "Nights handed to the outputs brightened, since they could not be translated yet.",
            ),
            ("damaged", "Frames that came damaged, because packets were lost."),
        )
    }
    dropped = CounterMetricFamily(
        "nightday_frames_dropped",
        "Frames that reached no output, or not all of them.",
        labels=("camera", "reason"),
    )
    reconnects = CounterMetricFamily(
        "nightday_reconnects", "Lost connections and failed tries.", labels=("camera", "reason")
    )
    detections = CounterMetricFamily(
        "nightday_detections", "Objects found, each frame anew.", labels=("camera", "label")
    )
    reused = CounterMetricFamily(
        "nightday_detections_reused",
        "Pictures that had the detections of the one before, since they were the same.",
        labels=("camera",),
    )
    collected = CounterMetricFamily(
        "nightday_collected",
        "Pictures collected for training, or lost because they could not be written.",
        labels=("camera", "result"),
    )
    for camera in cameras:
        stats = camera.stats
        up.add_metric((camera.name,), float(stats.up))
        by_arrival.add_metric((camera.name,), float(camera.clock_fault is not None))
        if camera.night is not None:
            night.add_metric((camera.name,), float(camera.night))
            unsure.add_metric((camera.name,), float(camera.night_doubt is not None))
        if camera.model_fits is not None:
            fits.add_metric((camera.name,), float(camera.model_fits))
        for family, share in (
            (remembered, stats.remembered),
            (unclear, stats.unclear),
            (generator, stats.generator_share),
        ):
            if share is not None:
                family.add_metric((camera.name,), share)
        for time, how_far in (("day", camera.learnt_day), ("night", camera.learnt_night)):
            if how_far is not None:
                learnt.add_metric((camera.name, time), how_far)
        if camera.own_model is not None:
            own.add_metric((camera.name,), float(camera.own_model.serves is not None))
            if camera.own_model.progress is not None:
                own_progress.add_metric((camera.name, camera.own_model.stage), camera.own_model.progress)
        for name, counter in counters.items():
            counter.add_metric((camera.name,), getattr(stats, name))
        if stats.ran:
            for how in get_args(Ran):
                ran.add_metric((camera.name, how), stats.ran.get(how, 0))
        _add_by_reason(dropped, camera.name, stats.dropped, get_args(DropReason))
        _add_by_reason(reconnects, camera.name, stats.reconnects, get_args(FaultReason))
        _add_by_reason(detections, camera.name, stats.detections, ())
        reused.add_metric((camera.name,), stats.detections_reused)
        _add_by_reason(collected, camera.name, stats.collected, get_args(Collected))
    gauges = (up, night, unsure, fits, by_arrival, learnt, remembered, unclear, generator, own, own_progress)
    return iter((*gauges, *counters.values(), ran, dropped, reconnects, detections, reused, collected))


def _add_by_reason(
    family: CounterMetricFamily, camera: str, counts: dict[str, int], known: Sequence[str]
) -> None:
    # A series must be there before its first event: `increase` does not see the step from nothing to 1.
    for reason, count in {**dict.fromkeys(known, 0), **counts}.items():
        family.add_metric((camera, reason if reason in known else redact(reason)), count)


def _latencies(cameras: Sequence[CameraStatus]) -> Metric:
    family = HistogramMetricFamily(
        "nightday_frame_latency_seconds",
        "From the end of a frame's decoding until it is translated, or an output has written it.",
        labels=("camera", "stage"),
    )
    for camera in cameras:
        for stage, histogram in camera.stats.latency.items():
            _add_histogram(family, (camera.name, stage), histogram)
    return family


def _outputs(cameras: Sequence[CameraStatus]) -> Metric:
    family = GaugeMetricFamily(
        "nightday_output_up", "Whether the output is being written.", labels=("camera", "output")
    )
    for camera in cameras:
        # Two addresses may be the same once their secrets are masked. Together they are up if both are.
        writing: dict[str, bool] = {}
        for output in camera.outputs:
            name = redact(output.output)
            writing[name] = writing.get(name, True) and output.state == "writing"
        for name, up in writing.items():
            family.add_metric((camera.name, name), float(up))
    return family


def _events(counts: Mapping[tuple[str, str], int]) -> Metric:
    family = CounterMetricFamily(
        "nightday_events",
        "Events as in the log; one that concerns the whole program has an empty camera.",
        labels=("event", "camera"),
    )
    for labels, count in counts.items():
        family.add_metric(labels, count)
    return family


def _add_histogram(
    family: HistogramMetricFamily, labels: Sequence[str], histogram: HistogramSnapshot
) -> None:
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total)
