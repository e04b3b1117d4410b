"""Live streams over WebSockets, by the client of another library, and by clients that mean no good."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from nightday.pipeline.monitoring.http_server import WebServer
from nightday.pipeline.monitoring.web import live as over_http
from nightday.pipeline.monitoring.web.session import Session
from tests.pipeline.monitoring.web.test_live import (
    FRAME,
    WAIT,
    Camera,
    Serve,
    frames_of,
    serve,
    time_of,
    until,
)

__all__ = ["serve"]  # a fixture
TOKEN = "correct-horse"


def place_of(server: WebServer) -> str:
    return server.address.removeprefix("http://")


def join(server: WebServer, path: str = "/live/gate", **keys: Any) -> ClientConnection:
    keys = {"compression": None, "open_timeout": WAIT, "close_timeout": 1.0, "max_size": 2**24} | keys
    return connect(f"ws://{place_of(server)}{path}", **keys)


def messages(connection: ClientConnection) -> Iterator[str | bytes]:
    try:
        while True:
            yield connection.recv(WAIT)
    except ConnectionClosed:
        return


@pytest.mark.parametrize("view", ["day", "night", "pair"])
def test_it_says_what_comes_and_then_sends_the_stream(serve: Serve, view: str) -> None:
    camera = Camera()
    server = serve(camera)
    with join(server, f"/live/gate?view={view}", origin=server.address) as connection:
        first = connection.recv(WAIT)
        assert isinstance(first, str)
        told = json.loads(first)["type"]
        assert re.fullmatch(r'video/mp4; codecs="avc1\.[0-9a-f]{6}"', told)
        pieces = []
        while camera.shown < 80:
            piece = connection.recv(WAIT)
            assert isinstance(piece, bytes)
            pieces.append(piece)
        camera.stop()
        pieces += [piece for piece in messages(connection) if isinstance(piece, bytes)]
        assert connection.close_code == 1000
    # Each message is a whole part of the stream, as Media Source takes it.
    assert [piece[4:8] for piece in pieces[:2]] == [b"ftyp", b"moof"]
    assert {piece[4:8] for piece in pieces[1:]} == {b"moof"}
    frames = frames_of(b"".join(pieces))
    assert len(frames) > 20
    steps = {time_of(later) - time_of(one) for one, later in pairwise(frames)}
    assert steps == {FRAME}
    width = 128 if view == "pair" else 64
    assert {(frame.width, frame.height) for frame in frames} == {(width, 48)}
    shown = {
        (camera.pattern_of(frame.to_ndarray(format="rgb24")[:, -64:]) - time_of(frame) // FRAME) % 8
        for frame in frames
    }
    assert len(shown) == 1
    # The profile and the level that it tells are those of the stream.
    sps = next(piece for piece in pieces if b"avcC" in piece).split(b"avcC", 1)[1]
    assert told.endswith(f'{sps[1:4].hex()}"')


def test_many_share_one_encode(serve: Serve) -> None:
    camera = Camera()
    server = serve(camera)
    with ExitStack() as stack:
        for connection in [stack.enter_context(join(server)) for _ in range(5)]:
            assert isinstance(connection.recv(WAIT), str)
            assert isinstance(connection.recv(WAIT), bytes)
        assert camera.live.count == 5
        assert len(camera.live.threads) == 1
    until(lambda: camera.live.count == 0)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"])
def test_other_pages_are_refused(serve: Serve, origin: str) -> None:
    camera = Camera()
    server = serve(camera)
    with pytest.raises(InvalidStatus) as refused:
        join(server, additional_headers={"Origin": origin}).__enter__()
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"not for other pages\n"
    assert camera.live.count == 0


def test_a_foreign_name_is_refused(serve: Serve) -> None:
    server = serve(Camera())
    host, _, port = place_of(server).partition(":")
    sock = socket.create_connection((host, int(port)), WAIT)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://evil.example:{port}/live/gate", sock=sock).__enter__()
    assert refused.value.response.status_code == 403


def test_who_cannot_watch_is_told_why(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_http, "FIRST_WITHIN", 0.2)
    camera = Camera()
    server = serve(camera, silent=True)
    for path, status, text in (
        ("/live/barn", 404, b"no camera of this name; /api/cameras lists them\n"),
        ("/live/gate?view=dusk", 400, b"view is one of day, night, pair\n"),
        ("/live/gate", 503, b"no picture of gate comes at the moment\n"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            join(server, path).__enter__()
        assert (refused.value.response.status_code, refused.value.response.body) == (status, text)
        assert refused.value.response.headers["cache-control"] == "no-store"
    until(lambda: camera.live.count == 0)
    camera.start()
    monkeypatch.setattr(over_http, "MOST_VIEWERS", 1)
    with join(server):
        with pytest.raises(InvalidStatus) as refused:
            join(server).__enter__()
        assert refused.value.response.body == b"1 watch already\n"


def test_it_needs_the_token_or_the_cookie_that_stands_for_it(serve: Serve) -> None:
    server = serve(Camera(), token=TOKEN)
    session = Session(TOKEN)
    cookie = f"{session._name}={session._value}"
    good: list[tuple[str, dict[str, str]]] = [
        (f"?token={TOKEN}", {}),
        ("", {"Authorization": f"Bearer {TOKEN}"}),
        ("", {"Cookie": cookie, "Origin": server.address}),
    ]
    for query, headers in good:
        with join(server, f"/live/gate{query}", additional_headers=headers) as connection:
            assert isinstance(connection.recv(WAIT), str)
    bad: list[tuple[str, dict[str, str]]] = [
        ("", {}),
        ("?token=wrong", {"Cookie": cookie}),
        ("", {"Cookie": cookie[:-1]}),
        ("", {"Cookie": f"token={TOKEN}"}),
        ("", {"Cookie": f"{session._name}={TOKEN}"}),
    ]
    for query, headers in bad:
        with pytest.raises(InvalidStatus) as refused:
            join(server, f"/live/gate{query}", additional_headers=headers).__enter__()
        assert refused.value.response.status_code == 401


def test_it_outlasts_the_limits_of_other_connections(serve: Serve) -> None:
    camera = Camera()
    server = serve(camera, time_limit=0.4, most_connections=2)
    host, _, port = place_of(server).partition(":")
    with join(server) as connection:
        assert isinstance(connection.recv(WAIT), str)
        crowd = [socket.create_connection((host, int(port))) for _ in range(8)]
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert isinstance(connection.recv(WAIT), bytes)
        for one in crowd:
            one.close()


def raw(server: WebServer, *, buffer: int | None = None) -> socket.socket:
    """A WebSocket by hand, whose answer has begun."""
    host, _, port = place_of(server).partition(":")
    sock = socket.socket()
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(WAIT)
    sock.connect((host, int(port)))
    request = (
        f"GET /live/gate HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    sock.sendall(request.encode())
    assert sock.recv(12) == b"HTTP/1.1 101"
    return sock


def frame(opcode: int, data: bytes) -> bytes:
    """A client's frame, masked with nought."""
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
    return bytes([0x80 | opcode]) + length + bytes(4) + data


def test_one_who_takes_nothing_is_cut_off_and_delays_nobody(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_http, "STALLED", 0.5)
    camera = Camera(size=(320, 240), rate=100.0)
    server = serve(camera)
    stalled = raw(server, buffer=4096)
    with join(server) as other:
        assert isinstance(other.recv(WAIT), str)
        pieces = []
        while camera.live.count == 2:
            pieces.append(other.recv(WAIT))
        for _ in range(20):
            pieces.append(other.recv(WAIT))
        frames = frames_of(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
        steps = {time_of(later) - time_of(one) for one, later in pairwise(frames)}
        assert steps == {FRAME}
    stalled.close()


def test_one_who_talks_is_not_listened_to(serve: Serve) -> None:
    camera = Camera()
    server = serve(camera)
    with join(server) as connection:
        assert isinstance(connection.recv(WAIT), str)
        for _ in range(50):
            connection.send("hello")
        assert isinstance(connection.recv(WAIT), bytes)
        connection.send(b"x" * 5000)
        for _ in messages(connection):
            pass
        assert connection.close_code == 1009
    until(lambda: camera.live.count == 0)


def test_pings_that_nobody_takes_the_answers_of_do_not_pile_up(serve: Serve) -> None:
    camera = Camera(size=(320, 240), rate=100.0)
    server = serve(camera)
    pinging = raw(server, buffer=4096)
    pinging.setblocking(False)
    (viewer,) = camera.live._streams["day", "h264"].viewers
    pings = frame(9, b"x" * 100) * 1000
    sent = 0
    end = time.monotonic() + WAIT
    while sent < 3_000_000 and time.monotonic() < end:
        try:
            sent += pinging.send(pings[sent % 106 :])
        except BlockingIOError:
            time.sleep(0.01)
    transports = [one.transport for one in list(server._server.server_state.connections)]
    assert [one.get_write_buffer_size() < 2_000_000 for one in transports] == [True]
    assert viewer.take() is not None
    pinging.close()
    until(lambda: camera.live.count == 0)


def test_a_broken_handshake_is_refused_and_elsewhere_there_is_none(serve: Serve) -> None:
    server = serve(Camera())
    host, _, port = place_of(server).partition(":")
    for path, status in (("/live/gate", b"400"), ("/api/cameras", b"200"), ("/table", b"200")):
        with socket.create_connection((host, int(port)), WAIT) as sock:
            sock.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\n\r\n".encode()
            )
            assert sock.recv(12) == b"HTTP/1.1 " + status
    with pytest.raises(InvalidStatus) as refused:
        join(server, "/live/gate/x").__enter__()
    assert refused.value.response.status_code in (403, 404)
