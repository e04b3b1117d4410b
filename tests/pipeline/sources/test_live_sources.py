"""Live sources as they come: made-up time stamps, bursts, key frames far apart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.media.clock_watch import ClockWatch
from nightday.pipeline.sources.base import ConnectionSettings, SourceLostError
from nightday.pipeline.sources.connection import FFmpegConnection
from nightday.pipeline.sources.frame_skipping import FrameSkipping
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.sources.packets import Arrival
from nightday.pipeline.sources.progress import KEY_WAIT
from tests.faults.camera import Camera, steps
from tests.support.http_streams import http_camera, multipart_jpeg, transport_stream
from tests.support.media_helpers import FakeClock
from tests.support.rtsp_server import WAIT


def test_pictures_over_http_that_have_no_time_stamps_go_by_their_arrival() -> None:
    """FFmpeg makes up 25 frames a second, whatever the camera sends."""
    with http_camera(*multipart_jpeg(8.0)) as url, Camera(url) as camera:
        frames = camera.wait_more(12)
        assert camera.reader.doubts.clock == "it sends no time stamps"
    taken = frames[2:]  # what came while it was being opened came together
    passed = taken[-1].decoded_at - taken[0].decoded_at
    assert float((taken[-1].pts - taken[0].pts) * taken[0].time_base) == pytest.approx(passed, abs=0.05)
    assert min(steps(taken)) > 0.05


def test_an_idle_machine_loses_nothing_of_a_burst_and_keeps_its_time_stamps() -> None:
    rate, count = 20, 50
    stats, ready = CameraStats(), threading.Condition()
    slot = LatestSlot(ready=ready, stats=stats)
    taken: list[Frame] = []
    stream = transport_stream(rate=rate, seconds=count / rate, every=1.0)
    with http_camera(*stream) as url, Camera(url, slot=slot) as camera:
        while len(taken) < count - 1:  # FFmpeg holds the last one back
            with ready:
                assert ready.wait_for(lambda: slot.pending, WAIT), stats.snapshot()
                if (frame := slot.take()) is not None:
                    taken.append(frame)
        assert camera.reader.doubts.clock is None
    assert stats.snapshot().dropped == {}
    assert set(steps(taken)) == {1 / rate}


class Joined:
    """The packets of a clip from its second picture on, one each ``seconds`` on a clock that they move."""

    def __init__(self, container: Any, clock: FakeClock, seconds: float, *, keys: bool) -> None:
        self._container, self._clock, self._seconds, self._keys = container, clock, seconds, keys

    def __iter__(self) -> Iterator[Arrival]:
        for number, packet in enumerate(self._container.demux(video=0)):
            self._clock.now += self._seconds
            if number and (self._keys or not packet.is_keyframe):
                yield Arrival(packet, self._clock.now, waited=self._seconds)


def long_gop(path: Path, *, gop: int, frames: int) -> Path:
    with av.open(str(path), "w") as container:
        options = {"tune": "zerolatency", "x264-params": f"scenecut=0:keyint={gop}:min-keyint={gop}"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            video = av.VideoFrame(64, 48, "yuv420p")
            video.pts = number
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("keys", [True, False])
def test_key_frames_far_apart_are_waited_for(tmp_path: Path, keys: bool) -> None:
    """One joins 100 s before the next key frame, with a stall timeout of 10 s; without one it ends some time."""
    clock, stats = FakeClock(), CameraStats()
    settings = ConnectionSettings(
        open_timeout=10.0,
        stall_timeout=10.0,
        nvdec=False,
        stop=threading.Event(),
        stats=stats,
        skipping=FrameSkipping(),
        clock=clock,
    )
    path = long_gop(tmp_path / "long.mp4", gop=100, frames=250)
    began = clock.now
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        joined = Joined(container, clock, 1.0, keys=keys)
        connection = FFmpegConnection(stream, joined, settings=settings, clock_watch=ClockWatch())
        frames = connection.frames()
        if keys:
            assert len(list(frames)) == 150
            return
        with pytest.raises(SourceLostError, match="no key frame"):
            next(frames)
    assert clock.now - began == pytest.approx(KEY_WAIT, abs=3.0)
