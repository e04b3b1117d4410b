"""Readers behind a network that misbehaves: the short runs. The long ones are ``python -m benchmarks.soak``."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest

from nightday.pipeline.core.faults import FaultReason
from nightday.pipeline.sources.reader import UNAUTHORISED_BACKOFF
from tests.faults import rtsp_fuzz
from tests.faults.camera import Camera, rising
from tests.faults.damaged_clips import clip
from tests.faults.proxy import Fault, Proxy
from tests.faults.rtsp_fuzz import LyingServer
from tests.faults.usage import Usage
from tests.support.rtsp_server import CLIP, RtspServer

ROOT = Path(__file__).parents[2]
RECONNECTS = 10
SETTLED = 3  # reconnects until what is allocated once is allocated
RETURN_WITHIN = 2.0  # seconds from a try that succeeds to the first picture


def test_the_proxy_alone_changes_nothing(tmp_path: Path) -> None:
    """Every frame is the clip's own, and the server tells clients the proxy's address, not its own."""
    with RtspServer(record=tmp_path) as server, Proxy(server.port) as proxy:
        with Camera(proxy.url("/cam")) as camera:
            frames = camera.wait_more(15)
            # What has come may still be on its way out.
            camera.wait_until(lambda: proxy.received == sum(link.sent for link in proxy.links) > 15 * 500)
        bases = [line for head in proxy.messages for line in head.splitlines() if "rtsp://" in line]
    with av.open(str(CLIP)) as source:
        for frame, truth in zip(frames, source.decode(video=0), strict=False):
            np.testing.assert_array_equal(frame.video.to_ndarray(), truth.to_ndarray())
    assert bases
    assert all(f":{proxy.port}/" in line for line in bases)


def test_reconnects_leave_nothing_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settled = None
    with (
        RtspServer(record=tmp_path) as server,
        Proxy(server.port) as proxy,
        Camera(proxy.url("/cam"), keep=False) as camera,
    ):
        last = -1
        for number in range(1, RECONNECTS + 1):
            camera.wait_playing(number)
            (frame,) = camera.wait_more(1)
            assert frame.pts > last
            last = frame.pts
            if number == SETTLED:
                settled = Usage.now()
            proxy.cut("rst" if number % 2 else "fin")
        camera.wait_playing(RECONNECTS + 1)
        camera.wait_more(1)
        after = Usage.now()
    assert settled is not None
    assert (after.threads, after.fds) == (settled.threads, settled.fds)
    assert after.rss - settled.rss < 4e6
    assert camera.stats.snapshot().reconnects == {"end_of_stream": RECONNECTS}
    said = [record.__dict__["event"] for record in caplog.records if record.name == "nightday.events"]
    assert said == ["camera_playing", "camera_retrying"] * RECONNECTS + ["camera_playing", "camera_stopped"]


@pytest.mark.alone
def test_after_an_outage_pictures_come_within_two_seconds_of_the_try_that_was_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with (
        RtspServer(record=tmp_path) as server,
        Proxy(server.port) as proxy,
        Camera(proxy.url("/cam")) as camera,
    ):
        camera.wait_more(5)
        proxy.outage()
        camera.wait_state("retrying", reason="refused")
        assert not camera.stats.snapshot().up
        tries = camera.stats.snapshot().reconnects["refused"]
        while camera.stats.snapshot().reconnects["refused"] < tries + 5:
            time.sleep(0.01)  # nothing tells of a try that changes no state
        proxy.accept()
        seen = len(proxy.links)
        announced = set()
        while len(proxy.links) == seen:
            announced.add(camera.reader.event.retry_at)
            time.sleep(0.001)
        frames = camera.wait_more(1)
        came = frames[-1].decoded_at
        tried = proxy.links[seen].accepted_at
    assert min(abs(tried - at) for at in announced if at is not None) < 0.1
    assert came - tried < RETURN_WITHIN
    assert rising(frames)
    assert camera.reader.event.retry_at is None
    said = [(event.state, event.reason) for event in camera.events]
    assert said == [
        ("playing", None),
        ("retrying", "end_of_stream"),
        ("retrying", "refused"),
        ("playing", None),
        ("stopped", None),
    ]
    assert sum(record.name == "nightday.events" for record in caplog.records) == len(said)


def test_a_stalled_connection_is_given_up_in_time_and_made_again(tmp_path: Path) -> None:
    with (
        RtspServer(record=tmp_path) as server,
        Proxy(server.port) as proxy,
        Camera(proxy.url("/cam"), stall_timeout=2.0) as camera,
    ):
        camera.wait_more(5)
        (link,) = proxy.open_links
        began = time.monotonic()
        proxy.set(Fault(stalled=True), link=link)
        camera.wait_state("retrying", reason="stall")
        assert 1.5 < time.monotonic() - began < 2.0 + 4.0  # far below the default of 10 s
        camera.wait_playing(2)
        camera.wait_more(5)
    assert camera.stats.snapshot().reconnects == {"stall": 1}


def test_a_trickle_is_a_stall_too(tmp_path: Path) -> None:
    """Bytes that never make a picture do not keep a connection alive."""
    with (
        RtspServer(record=tmp_path) as server,
        Proxy(server.port) as proxy,
        Camera(proxy.url("/cam"), stall_timeout=1.5, open_timeout=1.5) as camera,
    ):
        camera.wait_more(5)
        proxy.set(Fault(rate=50.0))
        camera.wait_state("retrying", reason="stall")
        camera.wait_state("retrying", reason="timeout")  # nor can one be opened so
        proxy.set(Fault())
        proxy.cut()
        camera.wait_playing(2)


def test_one_per_cent_of_damage_passes_and_leaves_no_trace(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", frames=25, moving=True)
    with av.open(str(source)) as container:
        clean = {frame.to_ndarray().tobytes() for frame in container.decode(video=0)}
    with (
        RtspServer(record=tmp_path, clip=source) as server,
        Proxy(server.port) as proxy,
        Camera(proxy.url("/cam")) as camera,
    ):
        print("seed", proxy.seed)
        camera.wait_more(5)
        proxy.set(Fault(corrupt=0.01))
        sent = proxy.received
        camera.wait_until(lambda: camera.stats.snapshot().dropped.get("decode_error", 0) >= 3)
        assert proxy.received > sent
        proxy.set(Fault())
        whole = len(camera.slot.frames)
        camera.wait_until(
            lambda: (
                sum(frame.video.to_ndarray().tobytes() in clean for frame in camera.slot.frames[whole:]) >= 10
            )
        )
        frames = list(camera.slot.frames)
    assert rising(frames)
    assert set(camera.stats.snapshot().reconnects) <= {"decode"}


def test_damage_to_everything_ends_in_a_reason_and_never_in_a_crash(tmp_path: Path) -> None:
    with (
        RtspServer(record=tmp_path) as server,
        Proxy(server.port) as proxy,
        Camera(proxy.url("/cam"), open_timeout=1.0, stall_timeout=1.0) as camera,
    ):
        print("seed", proxy.seed)
        camera.wait_more(5)
        proxy.set(Fault(corrupt=0.05, what="all"))
        camera.wait_state("retrying")
        proxy.set(Fault())
        proxy.cut()
        camera.wait_playing(2)
        camera.wait_more(5)


def test_a_throttled_camera_stays_and_catches_up(tmp_path: Path) -> None:
    """A quarter of the bytes a second it needs: late pictures, no reconnect, and all of them in order."""
    with (
        RtspServer(record=tmp_path) as server,
        Proxy(server.port) as proxy,
        Camera(proxy.url("/cam")) as camera,
    ):
        camera.wait_more(5)
        with av.open(str(CLIP)) as container:
            needed = container.bit_rate / 8
        proxy.set(Fault(rate=needed / 4))
        before, began = proxy.links[0].sent, time.monotonic()
        camera.wait_more(6)
        took = time.monotonic() - began
        assert (proxy.links[0].sent - before) / took < needed / 4 * 1.2
        proxy.set(Fault())
        frames = camera.wait_more(10)
    assert rising(frames)
    assert camera.stats.snapshot().reconnects == {}
    assert camera.stats.snapshot().dropped == {}


def test_a_far_away_camera_plays(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Proxy(server.port) as proxy:
        proxy.set(Fault(delay=0.2))
        with Camera(proxy.url("/cam")) as camera:
            frames = camera.wait_more(10)
    assert rising(frames)
    assert camera.stats.snapshot().reconnects == {}


def test_a_refused_login_is_announced_far_ahead_and_not_tried_meanwhile(tmp_path: Path) -> None:
    with (
        RtspServer(record=tmp_path, login="admin:another1") as server,
        Proxy(server.port) as proxy,
        Camera(
            proxy.url("/cam", login="admin:wrong123"), unauthorised_backoff=UNAUTHORISED_BACKOFF
        ) as camera,
    ):
        camera.wait_state("retrying", reason="unauthorised")
        retry_at = camera.reader.event.retry_at
        assert retry_at is not None
        assert retry_at - time.monotonic() > 19.0
        # The login was tried once. The other connection asked, without a login, which kinds of it there are.
        login, question = proxy.links
        assert login.asked.count(b"Authorization") == 1
        assert b"Authorization" not in question.asked


def test_a_server_that_takes_connections_and_says_nothing_times_out(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Proxy(server.port) as proxy:
        proxy.set(Fault(stalled=True))
        with Camera(proxy.url("/cam"), open_timeout=0.5) as camera:
            camera.wait_state("retrying", reason="timeout")
            proxy.set(Fault())
            camera.wait_playing(1)


def test_ordinary_tries_do_not_count_as_refused_logins(tmp_path: Path) -> None:
    """A camera that was away for long and then refuses the login is tried as if that were the first time."""
    with (
        RtspServer(record=tmp_path, login="admin:another1") as server,
        Proxy(server.port) as proxy,
    ):
        proxy.refuse()
        with Camera(
            proxy.url("/cam", login="admin:wrong123"), unauthorised_backoff=UNAUTHORISED_BACKOFF
        ) as camera:
            while camera.stats.snapshot().reconnects.get("refused", 0) < 10:
                time.sleep(0.01)  # nothing tells of a try that changes no state
            proxy.accept()
            camera.wait_state("retrying", reason="unauthorised")
            retry_at = camera.reader.event.retry_at
            assert retry_at is not None
            assert 19.0 < retry_at - time.monotonic() <= 60.0


def test_without_its_lies_the_lying_server_plays() -> None:
    with LyingServer(1, honest=1.0) as server, Camera(server.url) as camera:
        frames = camera.wait_more(10)
    with av.open(str(CLIP)) as source:
        for frame, truth in zip(frames, source.decode(video=0), strict=False):
            np.testing.assert_array_equal(frame.video.to_ndarray(), truth.to_ndarray())


def test_a_codec_nobody_knows_has_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp_fuzz, "SDP", rtsp_fuzz.SDP.replace("H264/90000", "NONESUCH/90000"))
    with LyingServer(1, honest=1.0) as server, Camera(server.url) as camera:
        camera.wait_state("retrying", reason="unsupported")


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What came of a reader that was lied to; in a process of its own, since FFmpeg might not survive it."""
    seed = random.randrange(2**32)
    print("seed", seed)
    command = [sys.executable, "-m", "tests.faults.rtsp_fuzz", "--seed", str(seed)]
    command += ["--connections", "150", "--settle", "50"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


@pytest.mark.xdist_group("lies")
def test_lies_on_the_wire_end_in_a_reason_and_another_try(told: dict[str, Any]) -> None:
    """Damaged session descriptions, answers and RTP."""
    assert told["connections"] >= 150
    assert sum(told["reasons"].values()) >= told["connections"] - 1
    assert set(told["reasons"]) <= set(get_args(FaultReason))
    assert told["fds"][1] <= told["fds"][0] + 2  # a connection may be under way


@pytest.mark.xdist_group("lies")
def test_lies_on_the_wire_leave_nothing_allocated(told: dict[str, Any]) -> None:
    """Of a hundred connections, after fifty others: one that leaves a kilobyte is found."""
    assert told["connections"] >= 150
    if not told["c_mb"][0]:
        pytest.skip("the C library gives no account of what it allocated")
    assert min(told["c_mb"][-3:]) - min(told["c_mb"][:3]) < 0.09  # 0.01 to 0.06 measured
    assert told["rss_growth"] < 8e6  # freed memory that is not returned included
