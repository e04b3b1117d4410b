"""Events posted to a real web server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.config.notify import WebhookConfig
from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.clock import Clock
from nightday.pipeline.monitoring.notify import webhook as webhook_module
from nightday.pipeline.monitoring.notify.spool import Spool
from nightday.pipeline.monitoring.notify.webhook import WebhookSink, reader_of
from tests.pipeline.monitoring.notify.spooled import around, messages, until
from tests.support.http_receiver import Post, Receiver
from tests.support.media_helpers import Events, FakeClock
from tests.support.ports import lasting_port
from tests.support.rtsp_server import WAIT

SECRET = "correct horse battery staple"
SOON = Backoff(first=0.02, cap=0.05, floor=0.01)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def sink_of(spool: Spool, told: Events, clock: Clock | None = None, **config: Any) -> WebhookSink:
    entry = WebhookConfig.model_validate(config)
    spool.keep_readers([reader_of(entry)])
    return WebhookSink(entry, around=around(spool, told, clock), backoff=SOON)


def finish(sink: WebhookSink) -> None:
    sink.finish()
    sink.join(WAIT)
    assert not sink.is_alive()


def whats(receiver: Receiver) -> list[int]:
    return [json.loads(post.body)["what"] for post in receiver.posts]


@pytest.mark.parametrize(
    "secret", [SECRET, "whsec_" + base64.b64encode(b"thirty-two bytes of a secret key").decode()]
)
def test_each_event_is_posted_once_in_order_and_signed(
    spool: Spool, told: Events, receiver: Receiver, secret: str
) -> None:
    before = int(time.time())
    sink = sink_of(spool, told, url=receiver.url("/in?a=1"), secret=secret)
    sink.start()
    spool.add(messages(25))
    finish(sink)
    assert whats(receiver) == list(range(25))
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    for number, post in enumerate(receiver.posts, start=1):
        assert post.path == "/in?a=1"
        assert post.headers["content-type"] == "application/json"
        assert post.headers["user-agent"].startswith("nightday-stream/")
        assert json.loads(post.body)["id"] == post.headers["webhook-id"] == f"{spool.id}-{number}"
        assert before <= int(post.headers["webhook-timestamp"]) <= time.time()
        signed = b".".join(
            [post.headers["webhook-id"].encode(), post.headers["webhook-timestamp"].encode(), post.body]
        )
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert post.headers["webhook-signature"] == f"v1,{expected}"
    assert list(told) == []


def test_without_a_secret_nothing_is_signed_and_a_login_is_sent(
    spool: Spool, told: Events, receiver: Receiver
) -> None:
    url = receiver.url().replace("http://", "http://user:p%40ss/word@")
    sink = sink_of(spool, told, url=url)
    sink.start()
    spool.add(messages(1))
    finish(sink)
    (post,) = receiver.posts
    assert "webhook-signature" not in post.headers
    assert base64.b64decode(post.headers["authorization"].removeprefix("Basic ")) == b"user:p@ss/word"
    assert "word" not in sink.target


def test_only_the_events_that_were_asked_for_are_posted(
    spool: Spool, told: Events, receiver: Receiver
) -> None:
    sink = sink_of(spool, told, url=receiver.url(), events=["night_*", "day_began"])
    sink.start()
    spool.add(messages(3))
    finish(sink)
    assert (receiver.posts, spool.waiting) == ([], 0)
    assert sink.wants("night_began")
    assert sink.wants("day_began")
    assert not sink.wants("camera_playing")


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429])
def test_a_server_in_trouble_is_tried_again_and_nothing_overtakes(
    spool: Spool, told: Events, receiver: Receiver, status: int
) -> None:
    statuses = [204, status, status, 204]
    receiver.answer = lambda _: (statuses.pop(0) if statuses else 204, {})
    sink = sink_of(spool, told, url=receiver.url())
    sink.start()
    spool.add(messages(3))
    sink.wake()
    receiver.wait_for(5)
    finish(sink)
    assert whats(receiver) == [0, 1, 1, 1, 2]
    again = [post.headers["webhook-id"] for post in receiver.posts]
    assert again[1] == again[2] == again[3]
    assert [one.name for one in told] == ["notify_failed", "notify_connected"]
    assert f"it answers {status} " in told[0].detail
    assert told[0].detail.startswith(
        f"events wait, as http://127.0.0.1:{receiver.port}/hook does not take them"
    )


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 422])
def test_an_event_that_is_refused_is_given_up_and_that_is_said_once(
    spool: Spool, told: Events, receiver: Receiver, status: int
) -> None:
    receiver.answer = lambda post: (status if json.loads(post.body)["what"] < 3 else 204, {"Location": "/"})
    sink = sink_of(spool, told, url=receiver.url())
    sink.start()
    spool.add(messages(5))
    finish(sink)
    assert (whats(receiver), spool.waiting) == ([0, 1, 2, 3, 4], 0)
    (notice,) = told
    assert (notice.name, notice.level) == ("notify_refused", "warning")
    assert "refuses reloaded, which is given up: it" in notice.detail
    assert ("redirects elsewhere" if status == 301 else f"answers {status} ") in notice.detail


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120.0), ("86400", 600.0), ("soon", None), ("-5", None)]
)
def test_a_server_that_asks_for_time_gets_it_within_bounds(
    spool: Spool, told: Events, receiver: Receiver, header: str, seconds: float | None
) -> None:
    statuses = [429, 204]
    receiver.answer = lambda _: (statuses.pop(0), {"Retry-After": header})
    clock = FakeClock()
    sink = sink_of(spool, told, clock, url=receiver.url())
    sink.start()
    spool.add(messages(1))
    sink.wake()
    receiver.wait_for(2)
    until(lambda: spool.waiting == 0)
    finish(sink)
    assert [wait for wait in clock.waits if wait >= 1] == ([] if seconds is None else [seconds])


def test_a_server_that_is_away_is_waited_for(spool: Spool, told: Events) -> None:
    port = lasting_port()
    sink = sink_of(spool, told, url=f"http://127.0.0.1:{port}/a")
    sink.start()
    spool.add(messages(2))
    sink.wake()
    failed = told.wait_for(lambda one: one.name == "notify_failed")
    assert failed.detail.endswith("/a does not take them: Connection refused")
    assert spool.waiting == 2
    sink.stop()
    sink.join(WAIT)
    assert spool.waiting == 2  # for the next start


def test_a_connection_that_the_server_has_closed_meanwhile_is_opened_anew(
    spool: Spool, told: Events, receiver: Receiver
) -> None:
    def answer(_: Post) -> tuple[int, dict[str, str]]:
        return 204, {"Connection": "close"} if len(receiver.posts) == 1 else {}

    receiver.answer = answer
    sink = sink_of(spool, told, url=receiver.url())
    sink.start()
    spool.add(messages(4))
    finish(sink)
    assert (whats(receiver), list(told)) == ([0, 1, 2, 3], [])
    assert len({post.peer for post in receiver.posts}) == 2


class Crooked:
    """A server that answers each connection with bytes of its own, the last one again and again."""

    def __init__(self, *answers: bytes, drip: bool = False) -> None:
        self._answers = list(answers)
        self._drip = drip
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            threading.Thread(target=self._answer, args=(connection, answer), daemon=True).start()

    def _answer(self, connection: socket.socket, answer: bytes) -> None:
        with connection:
            connection.recv(65536)
            try:
                while self._drip:
                    connection.sendall(answer)
                    time.sleep(0.02)
                connection.sendall(answer)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "bad",
    [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"HTTP/1.1 9\r\n\r\n"],
)
def test_answers_that_are_none_are_tried_again(spool: Spool, told: Events, bad: bytes) -> None:
    server = Crooked(bad, bad, GOOD)
    sink = sink_of(spool, told, url=f"http://127.0.0.1:{server.port}/")
    sink.start()
    spool.add(messages(1))
    sink.wake()
    until(lambda: spool.waiting == 0)
    finish(sink)
    assert [one.name for one in told] == ["notify_failed", "notify_connected"]
    server.close()


@pytest.mark.parametrize("taken", [False, True])
def test_a_server_that_drips_is_cut_off(
    spool: Spool, told: Events, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """An event counts as taken once the server has said so, whatever becomes of the rest of its answer."""
    monkeypatch.setattr(webhook_module, "WHOLE_REQUEST", 0.3)
    server = Crooked(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" if taken else b"a", drip=True)
    sink = sink_of(spool, told, url=f"http://127.0.0.1:{server.port}/")
    sink.start()
    spool.add(messages(2))
    sink.wake()
    until(lambda: server.connections >= 2)
    assert spool.waiting == (1 if taken else 2)
    assert [one.name for one in told] == ([] if taken else ["notify_failed"])
    sink.stop()
    sink.join(WAIT)
    assert not sink.is_alive()
    server.close()


def test_a_long_answer_is_not_read_to_its_end(spool: Spool, told: Events) -> None:
    server = Crooked(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    sink = sink_of(spool, told, url=f"http://127.0.0.1:{server.port}/")
    sink.start()
    spool.add(messages(2))
    finish(sink)
    assert (spool.waiting, server.connections, list(told)) == (0, 2, [])
    server.close()


def test_a_certificate_that_nobody_trusts_is_refused_in_a_sentence(
    spool: Spool, told: Events, tmp_path: Path
) -> None:
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    receiver = Receiver()
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    sink = sink_of(spool, told, url=receiver.url().replace("http", "https"))
    sink.start()
    spool.add(messages(1))
    sink.wake()
    failed = told.wait_for(lambda one: one.name == "notify_failed")
    assert "its certificate is not trusted: self" in failed.detail
    assert receiver.posts == []
    sink.stop()
    sink.join(WAIT)
    receiver.close()
