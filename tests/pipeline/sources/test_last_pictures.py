"""The last pictures of a stream, which the decoder keeps until it knows that no more come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.media.clock_watch import ClockWatch
from nightday.pipeline.media.timeline import Timeline
from nightday.pipeline.sources.base import Decoded, SourceLostError
from nightday.pipeline.sources.connection import FFmpegConnection
from nightday.pipeline.sources.delivery import FrameDelivery
from nightday.pipeline.sources.frame_skipping import FrameSkipping
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.sources.packets import Arrival
from tests.support.clips import ffmpeg
from tests.support.connections import connection_settings

FRAMES = 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With B frames, so that two pictures or three wait in the decoder."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10", "-frames:v", str(FRAMES))
    ffmpeg(*source, "-c:v", "libx264", "-bf", "3", "-b_strategy", "0", "-pix_fmt", "yuv420p", path)
    return path


@pytest.mark.parametrize("fault", [None, SourceLostError("stall", "no data"), OSError("broken")])
def test_they_come_however_the_stream_ends(clip: Path, fault: Exception | None) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]

        def arrivals() -> Iterator[Arrival]:
            for number, packet in enumerate(container.demux(stream)):
                if packet.size or fault is None:
                    yield Arrival(packet, number / 10)
            if fault is not None:
                raise fault

        connection = FFmpegConnection(
            stream, arrivals(), settings=connection_settings(), clock_watch=ClockWatch()
        )
        got: list[Decoded] = []
        if fault is None:
            got += connection.frames()
        else:
            with pytest.raises(SourceLostError) as lost:
                got.extend(connection.frames())
            assert lost.value.reason == ("stall" if isinstance(fault, SourceLostError) else "failed")
    assert len(got) == FRAMES
    assert [decoded.video.pts for decoded in got] == sorted(decoded.video.pts or 0 for decoded in got)
    assert 1 <= sum(decoded.held_back for decoded in got) <= 5
    assert got[-1].held_back
    assert not got[0].held_back


class Ended:
    """A live connection that has come to its end."""

    time_base, frame_seconds = Fraction(1, 10), 0.1
    clock_watch = ClockWatch()

    def frames(self) -> Iterator[Decoded]:
        return iter(())


def test_each_waits_until_the_one_before_was_taken() -> None:
    """They come all at once, though the machine has time for them."""
    stats, stop = CameraStats(), threading.Event()
    slot = LatestSlot(ready=threading.Condition(), stats=stats)
    delivery = FrameDelivery(
        camera="gate",
        slot=slot,
        stats=stats,
        stop=stop,
        lossless=False,
        timeline=Timeline(),
        clock=SystemClock(),
    )

    delivery.begin(Ended(), FrameSkipping())
    taken: list[int] = []

    def take() -> None:
        while len(taken) < 4 and not stop.wait(0.01):
            if (frame := slot.take()) is not None:
                taken.append(frame.pts)

    worker = threading.Thread(target=take)
    worker.start()
    try:
        for number in range(4):
            video = av.VideoFrame(64, 48, "yuv420p")
            video.pts = number
            assert delivery.deliver(Decoded(video, number / 10, on_time=False, held_back=True))
        worker.join(60)
    finally:
        stop.set()
        worker.join()
    assert taken == [0, 1, 2, 3]
    assert stats.snapshot().dropped == {}
