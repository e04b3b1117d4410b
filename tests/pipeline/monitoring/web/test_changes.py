"""Changing something over HTTP: from our own page, and from nowhere else."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from nightday.pipeline.config.schema import HttpConfig
from nightday.pipeline.core.control import NewCamera
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.monitoring.http_server import WebServer, web_app
from tests.pipeline.monitoring.test_http_server import TOKEN, Answer, Start, ask, connect, place_of, start
from tests.support.watched import FakeRun

__all__ = ["start"]  # a fixture
PATH = "/api/cameras/gate/translate"


def change(
    start: Start,
    body: bytes,
    run: FakeRun | None = None,
    path: str = PATH,
    token: str | None = None,
    **headers: str,
) -> Answer:
    run = run or FakeRun()
    server = start(run, limits={"controls": run}, **({"token": token} if token else {}))
    ours = {
        "Content_Type": "application/json",
        "Origin": f"http://127.0.0.1:{place_of(server)[1]}",
        "Content_Length": str(len(body)),
    }
    sent = {name: value for name, value in (ours | headers).items() if value}
    return ask(server, path, method="POST", body=body, **sent)


@pytest.mark.parametrize("when", ["night", "always", "never"])
def test_when_a_camera_is_translated(start: Start, when: str) -> None:
    run = FakeRun()
    answer = change(start, json.dumps({"translate": when}).encode(), run)
    assert (answer.status, answer.json()) == (200, {"translate": when})
    assert run.states["gate"]["translate"] == when


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"never"',
        b"{}",
        b'{"translate": "sometimes"}',
        b'{"translate": null}',
        b'{"translate": ["never"]}',
        b'{"translate": "never", "more": 1}',
        b'{"transl\xff": 1}',
        b"[" * 4000,
    ],
)
def test_what_is_no_change_is_refused(start: Start, body: bytes) -> None:
    run = FakeRun()
    answer = change(start, body, run)
    assert (answer.status, answer.text) == (400, 'send {"translate": "night"}, or one of always, never\n')
    assert run.states == {}


def test_where_it_cannot_be_a_sentence_says_why(start: Start) -> None:
    body = b'{"translate": "never"}'
    run = FakeRun(stats={"gate": CameraStats()}, without_model={"gate"})
    answer = change(start, body, run)
    assert (answer.status, answer.text) == (409, "gate runs without a model\n")
    assert change(start, body, path="/api/cameras/barn/translate").status == 404
    assert change(start, body, path="/api/cameras/gate/else").status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": ""}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Content_Length": "", "Transfer_Encoding": "chunked"}, 413),
        ({"Content_Length": "-1"}, 400),
        ({"Content_Length": "5000"}, 413),
        ({"Content_Length": "9" * 30}, 400),
    ],
)
def test_nobody_else_can(start: Start, headers: dict[str, Any], status: int) -> None:
    run = FakeRun()
    answer = change(start, b'{"translate": "never"}', run, **headers)
    assert answer.status == status
    assert run.states == {}


def test_it_needs_the_token(start: Start) -> None:
    body = b'{"translate": "never"}'
    run = FakeRun()
    assert change(start, body, run, token=TOKEN).status == 401
    assert run.states == {}
    assert change(start, body, run, token=TOKEN, Authorization=f"Bearer {TOKEN}").status == 200


def test_a_large_body_is_not_read(start: Start) -> None:
    run = FakeRun()
    assert change(start, b'{"translate": "never"' + b" " * 5000 + b"}", run).status == 413
    assert run.states == {}


@pytest.mark.parametrize(("length", "status"), [("60000", b"413"), ("9" * 30, b"400")])
def test_who_still_sends_is_told_why_all_the_same(start: Start, length: str, status: bytes) -> None:
    server = start(FakeRun(), limits={"controls": FakeRun()})
    with connect(server) as client:
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {server.address}\r\n"
        client.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
        assert client.recv(1, socket.MSG_PEEK)  # it has answered
        for _ in range(60):
            client.sendall(b" " * 1000)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.split(b" ")[1] == status


def test_where_nothing_can_be_changed_there_is_no_such_path() -> None:
    settings = HttpConfig(port=0)
    server = WebServer(settings, web_app(settings, FakeRun()))
    server.start()
    try:
        answer = ask(server, PATH, method="POST", Origin=server.address, Content_Length="0")
        assert answer.status == 404
    finally:
        assert server.close(20.0)


# Adding a camera -----------------------------------------------------------------------------------------------

ADD = "/api/add"
PORCH = b'{"name": "porch", "url": "rtsp://10.0.0.9/s", "every_s": 2, "record": true}'


def test_a_camera_is_added(start: Start) -> None:
    run = FakeRun()
    answer = change(start, PORCH, run, path=ADD)
    assert answer.status == 201
    assert answer.json() == {
        "added": "porch",
        "file": "cameras.yaml",
        "backup": "cameras.yaml.bak",
        "secrets": ["secrets/CAMERA_GATE"],
    }
    assert run.added == [NewCamera("porch", "rtsp://10.0.0.9/s", 2, True)]
    answer = change(start, b'{"name": " porch ", "url": " rtsp://10.0.0.9/s "}', run, path=ADD)
    assert run.added[1] == NewCamera("porch", "rtsp://10.0.0.9/s", None, False)


def test_where_no_camera_can_be_added_a_sentence_says_why_before_and_after(start: Start) -> None:
    run = FakeRun(cannot_add="rtsp://viewer:Zk9q7Wx2@10.0.0.9 cannot be written")
    answer = change(start, PORCH, run, path=ADD)
    assert (answer.status, answer.text) == (409, "rtsp://***@10.0.0.9 cannot be written\n")
    run = FakeRun(cannot_add="nothing can be written")
    server = start(run, limits={"controls": run})
    assert ask(server, "/api/add").json() == {"may_add": False, "because": "nothing can be written"}
    run.cannot_add = None
    assert ask(server, "/api/add").json() == {"may_add": True, "because": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"name": "porch"}',
        b'{"name": "porch", "url": 1}',
        b'{"name": null, "url": "rtsp://h/x"}',
        b'{"name": "porch", "url": "rtsp://h/x", "model": "/etc/passwd"}',
        b'{"name": "porch", "url": "rtsp://h/x", "record": "yes"}',
        b'{"name": "porch", "url": "rtsp://h/x", "every_s": true}',
        b'{"name": "porch", "url": "rtsp://h/x\\nloop: true"}',
        b"[" * 4000,
    ],
)
def test_what_is_no_camera_is_refused(start: Start, body: bytes) -> None:
    run = FakeRun()
    answer = change(start, body, run, path=ADD)
    assert answer.status == 400
    assert answer.text.startswith('send {"name": "gate", "url": ')
    assert run.added == []


def test_nobody_else_can_add_a_camera(start: Start) -> None:
    run = FakeRun()
    assert change(start, PORCH, run, path=ADD, Origin="").status == 403
    assert change(start, PORCH, run, path=ADD, Origin="http://evil.example").status == 403
    assert change(start, PORCH, run, path=ADD, Host="evil.example").status == 403
    assert change(start, PORCH, run, path=ADD, Content_Type="text/plain").status == 415
    assert change(start, PORCH + b" " * 5000, run, path=ADD).status == 413
    assert change(start, PORCH, run, path=ADD, token=TOKEN).status == 401
    assert ask(start(run), ADD, method="POST", body=PORCH, Content_Length=str(len(PORCH))).status in (
        403,
        405,
    )
    assert run.added == []
    shown = change(start, PORCH, run, path=ADD, token=TOKEN, Authorization=f"Bearer {TOKEN}")
    assert shown.status == 201


def test_the_page_has_the_form_and_what_sends_it(start: Start) -> None:
    server = start(FakeRun())
    page = ask(server, "/").text
    assert '<form id="add" class="tools" hidden>' in page
    script = ask(server, "/static/trial.js").text
    assert "postJson(`${root}api/add`, camera)" in script
