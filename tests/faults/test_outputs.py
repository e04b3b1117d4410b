"""Outputs that block or fail: their camera, its other outputs and the interpreter go on, and they come back."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.output import QUEUE, RECOVERY_SECONDS, STALLED, Output
from nightday.pipeline.outputs.registry import open_output
from nightday.pipeline.outputs.rtsp import client
from nightday.pipeline.outputs.rtsp import writer as writer_module
from nightday.pipeline.outputs.rtsp.writer import RestreamWriter
from tests.faults.feeding import FRAME, RATE, Camera, heartbeat, states
from tests.support.media_helpers import (
    FakeClock,
    OutputEvents,
    WatchedStats,
    camera_pts,
    ffmpeg_complaints,
    picture,
)
from tests.support.rtsp_server import WAIT, RtspServer
from tests.support.tcp_peer import TcpPeer

SOON = Backoff(first=0.05, cap=0.1, floor=0.0)
TIMEOUT = 0.5  # seconds, in place of IO_TIMEOUT
STEPS = ("ANNOUNCE", "SETUP", "RECORD")
HELD = 1.5  # seconds another thread may have to wait on a busy machine; FFmpeg's own client held them for 3.1


class Peer(TcpPeer):
    """A TCP peer that speaks as much RTSP as it is told to and then does ``misbehave`` with the connection."""

    def __init__(self, until: str, misbehave: Callable[[socket.socket, threading.Event], None]) -> None:
        self._until, self._misbehave = until, misbehave
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # of accepted connections as well
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        super().__init__(listener)
        self.url = f"rtsp://127.0.0.1:{self.port}/day"

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                method = ""
                while method != self._until:
                    method, sequence = _request(connection)
                    reply = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 12;timeout=60\r\n\r\n"
                    connection.sendall(reply.encode())
                self._misbehave(connection, self.ended)
            except OSError:
                pass


def _request(connection: socket.socket) -> tuple[str, str]:
    """Read one request, its body included; its method and number."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionResetError
        head += byte
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    for _ in range(int(headers.get("Content-Length", 0))):
        connection.recv(1)
    return lines[0].split()[0], headers["CSeq"]


def silent(_connection: socket.socket, ended: threading.Event) -> None:
    ended.wait()


def dripping(connection: socket.socket, ended: threading.Event) -> None:
    """Answer without end, a byte at a time, so that no single wait is long."""
    for byte in b"RTSP/1.0 200 OK\r\n" + b"X: x\r\n" * 1000:
        connection.sendall(bytes((byte,)))
        if ended.wait(TIMEOUT / 10):
            return


def flooding(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"RTSP/1.0 200 OK\r\n")
    while not ended.is_set():
        connection.sendall(b"X: x\r\n" * 1000)


def babbling(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    ended.wait()


@contextmanager
def two_outputs(
    url: str, folder: Path, *, size: tuple[int, int] = (64, 48)
) -> Iterator[tuple[Camera, OutputEvents, OutputEvents, WatchedStats]]:
    """A camera with a restream and a recording that share an encoder; the recording must have all at the end."""
    events, recorded = OutputEvents(), OutputEvents()
    stats, recorded_stats = WatchedStats(), WatchedStats()
    shared, path = SharedEncoder(), str(folder / "all.mp4")
    live = open_output(url, camera="gate", stats=stats, publish=events, backoff=SOON, encoder=shared)
    file = open_output(path, camera="gate", stats=recorded_stats, publish=recorded, encoder=shared)
    with heartbeat() as beats:
        with Camera(live, recording=file, size=size) as camera:
            yield camera, events, recorded, stats
        ended = time.monotonic()
    assert max(later - earlier for earlier, later in pairwise(beats)) < HELD
    assert camera.held < HELD
    assert camera_pts(folder / "all.mp4") == camera.sent
    assert ffmpeg_complaints(folder / "all.mp4") == ""
    assert recorded_stats.snapshot().dropped == {}
    assert states(recorded) == ["writing", "closed"]
    assert time.monotonic() - ended < WAIT


@pytest.mark.parametrize("until", ["", *STEPS])
def test_a_server_that_falls_silent_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str
) -> None:
    """From the connection to the running stream: after the last step it reads nothing more."""
    monkeypatch.setattr(writer_module, "IO_TIMEOUT", TIMEOUT)
    with Peer(until, silent) if until else Peer("never", silent) as peer:
        if not until:
            monkeypatch.setattr(peer, "_talk", lambda connection: peer.ended.wait() or connection.close())
        size = (320, 240) if until == "RECORD" else (64, 48)  # what fills the buffers of the kernel soon
        with two_outputs(peer.url, tmp_path, size=size) as (_, events, _, _):
            event = events.wait_for(lambda event: event.state == "retrying")
            assert event.reason == "timeout"
        assert peer.connections >= 1


def test_a_stream_that_stalls_is_given_up_in_time_and_closing_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg's own client sat in one write for 80 s, until the peer went away."""
    monkeypatch.setattr(writer_module, "IO_TIMEOUT", TIMEOUT)
    with Peer("RECORD", silent) as peer:
        stats, events, never = WatchedStats(), OutputEvents(), threading.Event()
        output = open_output(peer.url, camera="gate", stats=stats, publish=events, backoff=SOON)
        number, longest, offered_at = 0, 0.0, time.monotonic()
        while "retrying" not in states(events):
            number += 1
            assert output.put_wait(picture(number * FRAME, rgb=_noise(number)), cancelled=never)
            longest, offered_at = max(longest, time.monotonic() - offered_at), time.monotonic()
        assert longest < 3 * TIMEOUT + 1
        assert output.close(2 * TIMEOUT + 1)


def _noise(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (480, 640, 3), np.uint8)


@pytest.mark.parametrize(
    ("misbehave", "reason"), [(dripping, "timeout"), (flooding, "failed"), (babbling, "failed")]
)
@pytest.mark.parametrize("until", ["", "ANNOUNCE"])
def test_a_peer_that_is_no_server_is_given_up(
    monkeypatch: pytest.MonkeyPatch, misbehave: Callable[..., None], reason: str, until: str
) -> None:
    monkeypatch.setattr(writer_module, "IO_TIMEOUT", TIMEOUT)
    with Peer(until, misbehave) as peer:
        stats, events = WatchedStats(), OutputEvents()
        output = open_output(peer.url, camera="gate", stats=stats, publish=events)
        output.offer(picture(FRAME))
        assert events.wait_for(lambda event: event.state == "retrying").reason == reason
        assert output.close(WAIT)


def test_a_server_that_hangs_up_is_noticed_without_a_picture() -> None:
    hung_up = threading.Event()

    def hang_up(_connection: socket.socket, ended: threading.Event) -> None:
        hung_up.wait(WAIT)

    with Peer("RECORD", hang_up) as peer:
        stats, events = WatchedStats(), OutputEvents()
        output = open_output(peer.url, camera="gate", stats=stats, publish=events)
        output.offer(picture(FRAME))
        events.wait_for(lambda event: event.state == "writing")
        hung_up.set()
        event = events.wait_for(lambda event: event.state == "retrying")
        assert event.reason == "end_of_stream"
        assert output.close(WAIT)


def test_a_server_hears_a_sign_of_life_while_no_picture_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server ends a session it has heard nothing of for about 60 s, and a camera may be away for longer."""
    heard = threading.Event()

    def listening(connection: socket.socket, ended: threading.Event) -> None:
        connection.settimeout(WAIT)
        said = b""
        while b"\r\nSession: 12\r\n" not in said.partition(b"OPTIONS rtsp://")[2]:
            said += connection.recv(4096)
        heard.set()
        ended.wait()

    with Peer("RECORD", listening) as peer:
        writer = RestreamWriter(url=CameraUrl(peer.url))
        try:
            writer.write(picture(FRAME))
            monkeypatch.setattr(client, "KEEP_ALIVE", -1.0)
            writer.idle(26.0)
            assert heard.wait(WAIT)
        finally:
            writer.close()


def test_a_server_killed_and_started_again_gets_the_stream_while_the_recording_loses_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "server").mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(RtspServer(record=tmp_path / "server"))
        with two_outputs(server.url("/day"), tmp_path) as (_, events, _, _):
            server.expect_recorded(RATE)
            server.kill()
            events.wait_for(lambda event: event.state == "retrying")
            stack.enter_context(server)
            server.expect_recorded(RATE)
            events.wait_for(lambda _: states(events).count("writing") == 2)
        told = [
            state for state, _ in groupby(states(events))
        ]  # the reason changes: first it is gone, then refuses
        assert told == ["writing", "retrying", "writing", "closed"]


def test_a_frozen_server_loses_its_own_stream_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "IO_TIMEOUT", TIMEOUT)
    (tmp_path / "server").mkdir()
    with (
        RtspServer(record=tmp_path / "server") as server,
        two_outputs(server.url("/day"), tmp_path, size=(320, 240)) as (_, events, _, _),
    ):
        server.expect_recorded(5)
        server.freeze()
        assert events.wait_for(lambda event: event.state == "retrying").reason == "timeout"


# The output's own rules ---------------------------------------------------------------------------------------


class Counted:
    """A back-off that keeps which try it was asked about."""

    def __init__(self) -> None:
        self.attempts: list[int] = []

    def delay(self, attempt: int, _rng: random.Random) -> float:
        self.attempts.append(attempt)
        return 0.0


class Flapping:
    """Writes a few pictures, then fails, and so on, a picture every 0.04 s of the clock."""

    def __init__(self, clock: FakeClock, good: list[int]) -> None:
        self._clock, self._good = clock, good

    def write(self, _shown: object) -> None:
        self._clock.now += 1 / RATE
        if self._good[0] == 0:
            self._good.pop(0)
            raise BrokenPipeError(32, "Broken pipe")
        self._good[0] -= 1

    def idle(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_output_that_fails_again_and_again_is_said_once_and_waits_longer_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    clock, backoff, never = FakeClock(), Counted(), threading.Event()
    settled = round(RECOVERY_SECONDS * RATE) + 5
    output = Output(
        Flapping(clock, [3, 10, 10, 0, settled, 1, 100]),
        camera="gate",
        output="x",
        stats=WatchedStats(),
        clock=clock,
        backoff=backoff,  # type: ignore[arg-type]
    )
    output.start()
    for number in range(3 + 10 + 10 + settled + 1 + 100 + 6):
        assert output.put_wait(picture(number), cancelled=never)
    assert output.close(WAIT)
    assert backoff.attempts == [0, 1, 2, 3, 0, 1]
    said = [record.event.removeprefix("output_") for record in caplog.records]  # type: ignore[attr-defined]
    assert said == ["writing", "retrying", "writing", "retrying", "writing", "closed"]


def test_a_write_that_does_not_come_back_is_said_while_it_lasts() -> None:
    clock, events, never = FakeClock(), OutputEvents(), threading.Event()
    entered, released = threading.Event(), threading.Event()

    class Stuck:
        def write(self, _shown: object) -> None:
            entered.set()
            released.wait(WAIT)

        def idle(self, seconds: float) -> None:
            pass

        def close(self) -> None:
            pass

    output = Output(Stuck(), camera="gate", output="x", stats=WatchedStats(), clock=clock, publish=events)
    output.start()
    output.offer(picture(0))
    assert entered.wait(WAIT)
    for number in range(1, QUEUE + 2):
        output.offer(picture(number))
    assert states(events) == []
    clock.now += STALLED + 0.1
    output.offer(picture(9))
    output.offer(picture(10))
    assert [(event.state, event.reason) for event in events] == [("retrying", "stall")]
    released.set()
    assert output.put_wait(picture(11), cancelled=never)
    assert output.close(WAIT)
    assert states(events) == ["retrying", "writing", "closed"]
