"""A camera that speaks HTTP: snapshots, JPEGs in a multipart stream, and clips. In this process, on a free port."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from urllib.request import parse_http_list, parse_keqv_list

import cv2
import numpy as np

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def jpeg(grey: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture of one grey, (width, height) = ``size``."""
    return bytes(cv2.imencode(".jpg", np.full((size[1], size[0], 3), grey, np.uint8))[1])


class HttpCamera:
    """Answers each path with what ``answers`` says; a context manager. ``asked`` are the paths, in their order."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        camera = self
        self.asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                camera.asked.append(self.path)
                answer = answers.get(self.path.partition("?")[0])
                try:
                    if answer is None:
                        self.send_error(404)
                    else:
                        answer(self)
                except OSError:
                    pass  # the client is gone

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> HttpCamera:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str, *, login: str = "") -> str:
        return f"http://{login + '@' if login else ''}127.0.0.1:{self._server.server_address[1]}{path}"


def whole(content: bytes, content_type: str, *, parts: bool = True) -> Answer:
    """Answers a file, or the part of it that is asked for, unless it has no ``parts``."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "")) if parts else None
        first = int(asked[1]) if asked else 0
        last = int(asked[2]) if asked and asked[2] else len(content) - 1
        request.send_response(206 if asked else 200)
        request.send_header("Content-Type", content_type)
        request.send_header("Accept-Ranges", "bytes" if parts else "none")
        request.send_header("Content-Length", str(last - first + 1))
        if asked:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        request.end_headers()
        request.wfile.write(content[first : last + 1])

    return answer


def multipart(parts: Iterator[bytes]) -> Answer:
    """Answers a multipart stream whose bytes, boundaries and all, are ``parts``."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        for part in parts:
            request.wfile.write(part)
            request.wfile.flush()

    return answer


def with_digest(answer: Answer, *, accepts: Callable[[dict[str, str]], bool]) -> Answer:
    """``answer`` for those who answer a digest challenge as ``accepts`` wants it; 401 for others."""

    def guarded(request: http.server.BaseHTTPRequestHandler) -> None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Digest" and accepts(parse_keqv_list(parse_http_list(rest))):
            answer(request)
            return
        request.send_response(401)
        request.send_header("WWW-Authenticate", 'Digest realm="cam", nonce="abc", qop="auth"')
        request.send_header("Content-Length", "0")
        request.end_headers()

    return guarded
