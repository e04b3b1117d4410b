"""Restreams, recorded by a real RTSP server."""

from __future__ import annotations

import random
import socket
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.outputs.output import QUEUE, Output
from nightday.pipeline.outputs.registry import open_output
from tests.faults.feeding import heartbeat
from tests.support.media_helpers import OutputEvents, WatchedStats, ffmpeg_complaints, ffprobe, picture
from tests.support.rtsp_server import CLIP, WAIT, RtspServer

PASSWORD = "Tr0ub4dor"
FRAME = 512  # ticks of a frame at 25 fps
SOON = Backoff(first=0.05, cap=0.1, floor=0.0)


class Restream:
    """A restream with everything around it, closed at the end."""

    def __init__(self, url: str) -> None:
        self.stats, self.events = WatchedStats(), OutputEvents()
        self.output: Output = open_output(
            url, camera="gate", stats=self.stats, publish=self.events, backoff=SOON, rng=random.Random(1)
        )
        self.never = threading.Event()
        self.pts = 10**9

    def __enter__(self) -> Restream:
        return self

    def __exit__(self, *exception: Any) -> None:
        assert self.output.close(WAIT)

    def send(self, count: int, size: tuple[int, int] = (64, 48)) -> None:
        for _ in range(count):
            self.pts += FRAME
            assert self.output.put_wait(picture(self.pts, size=size), cancelled=self.never)

    def send_until(self, state: str) -> None:
        """Keep sending at camera rate or faster until the output has got into ``state`` once more."""
        seen = len([event for event in self.events if event.state == state])
        deadline = time.monotonic() + WAIT
        while len([event for event in self.events if event.state == state]) == seen:
            assert time.monotonic() < deadline, f"never {state}: {list(self.events)}"
            self.send(1)


def times(path: str) -> list[float]:
    return [float(packet["pts_time"]) for packet in ffprobe(Path(path), "packet=pts_time")["packets"]]


def test_a_real_server_records_it_without_error_and_with_the_pts_steps_kept(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server:
        output = Restream(server.url("/day"))
        sent = []
        with output, av.open(str(CLIP)) as clip:
            for frame in clip.decode(video=0):
                pts = frame.pts + (frame.pts > 50_000) * 7_000  # a pause in the camera's time is kept as well
                shown = picture(pts, time_base=frame.time_base, rgb=frame.to_ndarray(format="rgb24"))
                assert output.output.put_wait(shown, cancelled=output.never)
                sent.append(float(pts * frame.time_base))
            server.expect_recorded(len(sent))
        path = server.expect("closed")["path"]
    came = times(path)
    assert len(came) == len(sent)
    for step, wanted in zip(pairwise(came), pairwise(sent), strict=True):
        assert step[1] - step[0] == pytest.approx(wanted[1] - wanted[0], abs=0.0011)  # Matroska counts in ms
    assert ffmpeg_complaints(Path(path)) == ""
    assert [event.state for event in output.events] == ["writing", "closed"]
    assert output.stats.snapshot().dropped == {}


def test_a_login_is_used_and_a_wrong_one_is_said_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RtspServer(record=tmp_path, login=f"viewer:{PASSWORD}") as server:
        with Restream(server.url("/day", login=f"viewer:{PASSWORD}")) as output:
            output.send(25)
            server.expect_recorded(25)
        with Restream(server.url("/day", login=f"admin:{PASSWORD}")) as output:
            output.send(1)
            event = output.events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == "unauthorised"
    assert PASSWORD not in caplog.text + repr(event)


def test_a_new_size_is_announced_anew(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Restream(server.url("/day")) as output:
        output.send(30)
        server.expect_recorded(30)
        output.send(30, size=(97, 81))
        first = server.expect("closed")
        server.expect_recorded(30)
        assert output.output.close(WAIT)
        second = server.expect("closed")
    sizes = [ffprobe(Path(made["path"]), "stream=width,height")["streams"][0] for made in (first, second)]
    assert [(size["width"], size["height"]) for size in sizes] == [(64, 48), (96, 80)]
    assert [made["frames"] for made in (first, second)] == [30, 30]


def test_a_server_that_goes_and_returns_is_found_again(tmp_path: Path) -> None:
    server = RtspServer(record=tmp_path)
    with server, Restream(server.url("/day")) as output:
        output.send(25)
        server.expect_recorded(25)
        server.kill()
        output.send_until("retrying")
        with server:
            output.send_until("writing")
            output.send(60)
            server.expect_recorded(60)
            assert output.output.close(WAIT)
            made = server.expect("closed")
    came = times(made["path"])
    assert len(came) >= 60
    assert all(later > earlier for earlier, later in pairwise(came))
    assert output.events[-1].state == "closed"


def test_a_dead_server_is_refused_and_never_holds_offer(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Restream(f"rtsp://viewer:{PASSWORD}@127.0.0.1:{port}/day") as output:
        output.send(50)
        output.stats.wait_dropped("output_failed", 50 - QUEUE)
    assert [(event.state, event.reason) for event in output.events] == [
        ("retrying", "refused"),
        ("closed", None),
    ]
    assert PASSWORD not in caplog.text
    assert "rtsp://***@127.0.0.1" in caplog.text
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


@pytest.mark.slow
def test_a_server_that_says_nothing_holds_nobody_else_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        heartbeat() as beats,
        Restream(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/day") as output,
    ):
        output.send(1)
        output.events.wait_for(lambda event: (event.state, event.reason) == ("retrying", "timeout"))
    assert max(later - earlier for earlier, later in pairwise(beats)) < 1.0


def test_a_server_that_freezes_holds_nobody_else_up(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    with RtspServer(record=tmp_path) as server, heartbeat() as beats, Restream(server.url("/day")) as output:
        output.send(5)
        server.expect_recorded(5)
        server.freeze()
        deadline = time.monotonic() + WAIT
        while not any(event.state == "retrying" for event in output.events):
            assert time.monotonic() < deadline
            output.pts += FRAME
            rgb = noise.integers(0, 256, (480, 640, 3), np.uint8)
            output.output.put_wait(picture(output.pts, rgb=rgb), cancelled=output.never)
    assert output.events[-2].reason in ("timeout", "end_of_stream")
    assert max(later - earlier for earlier, later in pairwise(beats)) < 1.0
