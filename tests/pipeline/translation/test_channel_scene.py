"""A camera whose model was made for another scene: said once in the log, on the page, as JSON and as a metric."""

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.monitoring.api import camera_json
from nightday.pipeline.monitoring.prometheus import _camera_metrics
from nightday.pipeline.monitoring.status_text import status_text
from nightday.pipeline.monitoring.web.table import _row
from nightday.pipeline.scene.model_fit import EVERY
from nightday.pipeline.scene.model_scene import scene_of
from nightday.pipeline.scene.night_gate import NightGate
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.translation.channel import Channel
from tests.support.engines import EngineStub
from tests.support.models import of_another_street


def frame_of(clip: str) -> tuple[av.VideoFrame, np.ndarray]:
    with av.open(f"benchmarks/clips/{clip}") as container:
        video = next(container.decode(video=0))
    return video, np.asarray(video.to_ndarray(format="rgb24"), np.uint8)


def watch(model: Path, clip: str) -> Channel:
    config = CameraConfig.model_construct(name="gate", translate="night", url=CameraUrl("rtsp://10.0.0.5/s"))
    stats = CameraStats()
    slot = LatestSlot(ready=threading.Condition(), stats=stats)
    channel = Channel(
        config=config,
        stats=stats,
        slot=slot,
        engine=EngineStub(),
        gate=NightGate(),
        scene=scene_of(model),
    )
    video, rgb = frame_of(clip)
    for number in range(20):
        pts = round(EVERY * number)
        frame = Frame("gate", video, pts, Fraction(1), decoded_at=0.0, wall_time=0.0)
        channel.scene_watch.look(frame, rgb, channel.gate)
    return channel


def status(fits: bool | None, doubt: str | None = None) -> CameraStatus:
    return CameraStatus(
        name="gate",
        state="playing",
        reason=None,
        night=True,
        outputs_in_trouble=(),
        stats=CameraStats().snapshot(),
        night_doubt=doubt,
        model_fits=fits,
    )


def test_a_model_of_another_scene_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    channel = watch(of_another_street(tmp_path / "street.pt"), "night_a1_barnet_simulated.mp4")
    assert channel.scene_watch.fits is False
    assert [record.__dict__["event"] for record in caplog.records] == ["model_other_scene"]
    channel.use_scene(scene_of(Path("weights/a1_barnet.pt")))  # another model takes over
    assert channel.scene_watch.fits is None


def test_a_model_that_fits_brings_the_gate_its_day_if_it_holds_one(caplog: pytest.LogCaptureFixture) -> None:
    channel = watch(Path("weights/a1_barnet.pt"), "night_a1_barnet_simulated.mp4")
    assert channel.scene_watch.fits is True
    assert channel.gate is not None
    told_by: list[str] = [channel.gate.told_by]
    scene = scene_of(Path("weights/a1_barnet.pt"))
    assert scene is not None
    channel.use_scene(replace(scene, by_day=True))
    video, rgb = frame_of("night_a1_barnet_simulated.mp4")
    frame = Frame("gate", video, 0, Fraction(1), decoded_at=0.0, wall_time=0.0)
    channel.scene_watch.look(frame, rgb, channel.gate)
    told_by.append(channel.gate.told_by)
    assert told_by == ["light", "own day"]  # the model itself holds nights only
    assert caplog.records == []


@pytest.mark.parametrize(("fits", "values"), [(True, [1.0]), (False, [0.0]), (None, [])])
def test_it_is_shown_wherever_somebody_looks(fits: bool | None, values: list[float]) -> None:
    camera = status(fits)
    assert camera_json(camera)["model_fits"] is fits
    metrics = {metric.name: metric for metric in _camera_metrics([camera])}
    assert [sample.value for sample in metrics["nightday_model_fits"].samples] == values
    assert ("another scene" in " ".join(_row(camera, None)["remarks"])) is (fits is False)
    said = status_text([camera], rates={"gate": 1.0}, seconds=1)
    assert ("model of another scene" in said) is (fits is False)


def test_doubt_is_shown_too() -> None:
    camera = status(None, "cannot tell whether it is night")
    assert camera_json(camera)["night_doubt"] == "cannot tell whether it is night"
    assert _row(camera, None)["doubts"] == ["Cannot tell whether it is night."]
    metrics = {metric.name: metric for metric in _camera_metrics([camera])}
    assert [sample.value for sample in metrics["nightday_camera_night_unsure"].samples] == [1.0]
