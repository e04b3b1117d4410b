"""Trying addresses: of cameras that answer, that do not, and of what is no camera."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest

from nightday.pipeline.monitoring.http_server import WebServer
from nightday.pipeline.monitoring.web import trial
from tests.pipeline.monitoring.test_http_server import TOKEN, Answer, Start, ask, place_of, start
from tests.support.http_camera import HttpCamera, jpeg, whole
from tests.support.http_streams import http_camera, multipart_jpeg
from tests.support.ports import lasting_port

__all__ = ["start"]  # a fixture
SECRET = "Zk9q7Wx2"


def post(server: WebServer, body: bytes, **headers: str) -> Answer:
    ours: dict[str, str] = {
        "Content_Type": "application/json",
        "Origin": f"http://127.0.0.1:{place_of(server)[1]}",
        "Content_Length": str(len(body)),
    }
    return ask(server, "/api/try", method="POST", body=body, **(ours | headers))


def tried(server: WebServer, url: str) -> dict[str, Any]:
    answer = post(server, json.dumps({"url": url}).encode())
    assert answer.status == 200, answer.text
    assert SECRET not in answer.text
    result: dict[str, Any] = answer.json()
    return result


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_first_picture_is_shown(start: Start) -> None:
    with http_camera(*multipart_jpeg(20.0)) as url:
        result = tried(start(), url.replace("//", f"//viewer:{SECRET}@"))
    assert (result["ok"], result["width"], result["height"], result["ends"]) == (True, 64, 48, False)
    jpeg = np.frombuffer(base64.b64decode(result["jpeg"]), np.uint8)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (48, 64, 3)
    assert 15 <= picture.mean() <= 225  # it is evenly grey, at one of many levels
    assert picture.std() < 3


def test_an_address_of_one_picture_is_shown_with_how_often_it_would_be_fetched(start: Start) -> None:
    with HttpCamera({"/snap.jpg": whole(jpeg(120), "image/jpeg")}) as camera:
        result = tried(start(), camera.url("/snap.jpg"))
    assert (result["ok"], result["width"], result["every_s"]) == (True, 64, 2.0)


def test_what_is_wrong_is_told_with_the_way_out(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LIMIT", 0.7)
    server = start()
    port = lasting_port()
    result = tried(server, f"rtsp://viewer:{SECRET}@127.0.0.1:{port}/stream1")
    assert (result["ok"], result["reason"]) == (False, "refused")
    assert result["advice"].startswith("Nothing accepts connections there.")
    with silent_port() as port:
        began = time.monotonic()
        result = tried(server, f"rtsp://viewer:{SECRET}@127.0.0.1:{port}/stream1")
        assert (result["ok"], result["reason"]) == (False, "timeout")
        assert result["advice"].startswith("No answer.")
        assert time.monotonic() - began < 8.0


@pytest.mark.parametrize(
    "url",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "device:0",
        "/dev/video0",
        "concat:/etc/passwd",
        "udp://127.0.0.1:1",
        "ftp://127.0.0.1/x",
        "cameras.yaml",
        f"10.0.0.5:554/stream1?pwd={SECRET}",
        f"viewer:{SECRET}@10.0.0.5",
        "rtsp://",
        "rtsp://10.0.0.5:99999/x",
        "C:\\clip.mp4",
    ],
)
def test_only_the_network_is_asked(start: Start, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "open_source", None)
    result = tried(start(), url)
    assert (result["ok"], result["reason"]) == (False, "address")
    assert result["sentence"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"url": 1}', b'{"url": " "}', b"[" * 4000])
def test_what_is_no_address_is_refused(start: Start, body: bytes) -> None:
    assert post(start(), body).status == 400


def test_nobody_else_can_try(start: Start) -> None:
    body = b'{"url": "rtsp://127.0.0.1:1/x"}'
    server = start(token=TOKEN)
    assert post(server, body).status == 401
    server = start()
    assert post(server, body, Origin="http://evil.example").status == 403
    assert post(server, body, Content_Type="text/plain").status == 415
    assert post(server, b'{"url": "' + b"x" * 5000 + b'"}').status == 413
    assert ask(server, "/api/try").status == 405


def test_few_are_tried_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LIMIT", 3.0)
    server = start()
    answers: list[int] = []
    with silent_port() as port:
        body = json.dumps({"url": f"rtsp://127.0.0.1:{port}/x"}).encode()
        threads = [
            threading.Thread(target=lambda: answers.append(post(server, body).status)) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20.0)
    assert sorted(answers) == [200, 200, 503, 503, 503]
