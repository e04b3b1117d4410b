"""A camera over HTTP on loopback: JPEG pictures one after another, or an MPEG transport stream in bursts."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from io import BytesIO

import av
import cv2
import numpy as np

from tests.support.serving import serving

BOUNDARY = "picture"
Send = Callable[[Callable[[bytes], object], threading.Event], None]
"""Serves one client, given what to write with and an event that ends it."""


def multipart_jpeg(rate: float) -> tuple[str, Send]:
    """Content type and sender of ``rate`` pictures a second, without a time stamp."""

    def send(write: Callable[[bytes], object], ended: threading.Event) -> None:
        began = time.monotonic()
        for number in range(10**6):
            if ended.wait(max(0.0, began + number / rate - time.monotonic())):
                return
            picture = cv2.imencode(".jpg", np.full((48, 64, 3), number * 10 % 200 + 20, np.uint8))[
                1
            ].tobytes()
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            write(head.encode() + picture + b"\r\n")

    return f"multipart/x-mixed-replace;boundary={BOUNDARY}", send


def transport_stream(*, rate: int, seconds: float, every: float) -> tuple[str, Send]:
    """Content type and sender of MPEG-TS whose pictures come in a burst ``every`` so many seconds."""
    pieces = pictures_of_a_stream(rate, round(rate * seconds))

    def send(write: Callable[[bytes], object], ended: threading.Event) -> None:
        began = time.monotonic()
        for number, piece in enumerate(pieces):
            due = math.ceil(number / rate / every - 1e-9) * every
            if ended.wait(max(0.0, began + due - time.monotonic())):
                return
            write(piece)

    return "video/mp2t", send


def pictures_of_a_stream(rate: int, count: int, *, dark: int = 20) -> list[bytes]:
    """The bytes of each picture of an MPEG transport stream, in levels from ``dark`` on; a key frame each second."""
    out, pieces = BytesIO(), list[bytes]()
    with av.open(out, "w", format="mpegts", container_options={"flush_packets": "1"}) as container:
        options = {"tune": "zerolatency", "preset": "ultrafast", "g": str(rate)}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            level = np.full((72, 64), number * 10 % 200 + dark, np.uint8)
            video = av.VideoFrame.from_ndarray(level, format="yuv420p")
            video.pts = number
            container.mux(stream.encode(video))
            pieces.append(out.getvalue())
            out.seek(0)
            out.truncate()
    return pieces


@contextmanager
def http_camera(content_type: str, send: Send) -> Iterator[str]:
    """The address at which each client is served by ``send``."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            with suppress(OSError):  # the client has gone
                send(self.wfile.write, ended)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as address:
        try:
            yield f"{address}/stream"
        finally:
            ended.set()
