"""RTP over TCP and over UDP, from a real server that takes one of them alone."""

from __future__ import annotations

import time
from pathlib import Path

import av
import numpy as np
import pytest

from nightday.pipeline.sources.transport import RtpTransport, TransportChoice
from tests.faults.camera import Camera
from tests.support.rtsp_server import CLIP, RtspServer


def test_auto_asks_for_tcp_first_and_then_for_what_worked() -> None:
    transport = RtpTransport()
    assert transport.order == ("tcp", "udp")
    transport.worked("udp")
    assert transport.order == ("udp", "tcp")
    choices: tuple[TransportChoice, ...] = ("tcp", "udp")
    for choice in choices:
        named = RtpTransport(choice)
        named.worked("tcp")
        assert named.order == (choice,)


def test_a_camera_that_takes_udp_alone_is_played_again_and_again(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path, transport="udp") as server, Camera(server.url("/cam")) as camera:
        camera.slot.wait_for(10)
        server.command("drop")
        camera.slot.wait_for(len(camera.slot.frames) + 10)
    stats = camera.stats.snapshot()
    assert stats.damaged == 0
    assert set(stats.reconnects) <= {"end_of_stream", "stall"}  # and never "unsupported"


@pytest.mark.parametrize(
    ("taken", "choice", "detail"),
    [
        ("udp", "tcp", "the camera sends no RTP over TCP (461); set transport: auto"),
        ("tcp", "udp", "the camera sends no RTP over UDP (461); set transport: auto"),
    ],
)
def test_a_transport_that_is_refused_is_said_with_the_way_out(
    tmp_path: Path, taken: str, choice: TransportChoice, detail: str
) -> None:
    with (
        RtspServer(record=tmp_path, transport=taken) as server,
        Camera(server.url("/cam"), transport=choice) as camera,
    ):
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert (event.reason, event.detail) == ("unsupported", detail)


def test_a_camera_that_sends_no_packet_any_more_is_lost_though_its_connection_lives(tmp_path: Path) -> None:
    """RTSP over TCP stays and is answered, RTP over UDP does not come."""
    with (
        RtspServer(record=tmp_path, transport="udp") as server,
        Camera(server.url("/cam"), transport="udp", stall_timeout=1.0, open_timeout=1.0) as camera,
    ):
        camera.slot.wait_for(10)
        server.command("stall")
        server.expect("stalled")
        began = time.monotonic()
        event = camera.events.wait_for(lambda event: event.state == "retrying")
        assert (event.reason, event.detail) == ("stall", "no data for 1 s")
        assert time.monotonic() - began < 1.0 + 1.0 + 2.0  # two seconds are for a machine with other work
        event = camera.events.wait_for(lambda event: event.reason == "timeout")
        assert event.detail.endswith("look whether a firewall keeps the camera's packets away")
        server.kill()
        with server:
            camera.wait_more(5)


@pytest.mark.parametrize("loss", [0.01, 0.02])
def test_pictures_that_lost_packets_on_the_way_are_counted(tmp_path: Path, loss: float) -> None:
    """Held against the clip's own pictures; FFmpeg marks none of the wrong ones."""
    with av.open(str(CLIP)) as clip:
        rate = clip.streams.video[0].average_rate
        truth = [frame.to_ndarray() for frame in clip.decode(video=0)]
    assert rate is not None
    with (
        RtspServer(record=tmp_path, transport="udp", loss=loss) as server,
        Camera(server.url("/cam")) as camera,
    ):
        frames = camera.slot.wait_for(120)
        damaged = camera.stats.snapshot().damaged
    numbers = [round(frame.pts * frame.time_base * rate) for frame in frames]
    wrong = sum(
        not np.array_equal(frame.video.to_ndarray(), truth[number])
        for frame, number in zip(frames, numbers, strict=True)
    )
    print(f"{wrong} of {len(frames)} are wrong, {damaged} were counted as damaged")
    assert wrong > 20
    assert wrong - 3 <= damaged <= wrong + 0.25 * len(frames)
