"""A web server that takes what is posted to it, and answers as a test says."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.rtsp_server import WAIT


@dataclass
class Post:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    peer: int
    """The port of whoever sent it, which tells its connection."""


@dataclass
class Receiver:
    """A server on loopback. ``answer`` gives status and headers for each request, in turn."""

    answer: Callable[[Post], tuple[int, dict[str, str]]] = lambda _: (204, {})
    posts: list[Post] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                post = Post(self.path, headers, body, self.client_address[1])
                status, extra = outer.answer(post)
                outer.posts.append(post)
                self.send_response(status)
                for key, value in {"Content-Length": "0", **extra}.items():
                    self.send_header(key, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_for(self, count: int) -> list[Post]:
        deadline = time.monotonic() + WAIT
        while len(self.posts) < count:
            assert time.monotonic() < deadline, f"{len(self.posts)} of {count} came"
            time.sleep(0.005)
        return list(self.posts)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
