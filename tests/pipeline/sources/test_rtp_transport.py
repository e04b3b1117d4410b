"""RTP over TCP and over UDP, from a real server that takes one of them alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.sources.transport import RtpTransport, TransportChoice
from tests.faults.camera import Camera
from tests.support.rtsp_server import RtspServer


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


def test_pictures_that_lost_packets_on_the_way_are_counted(tmp_path: Path) -> None:
    with (
        RtspServer(record=tmp_path, transport="udp", loss=0.05) as server,
        Camera(server.url("/cam")) as camera,
    ):
        frames: list[Any] = camera.slot.wait_for(100)
    assert 0 < camera.stats.snapshot().damaged <= len(frames) + sum(camera.stats.snapshot().dropped.values())
