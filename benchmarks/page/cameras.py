"""Cameras for the page: JPEG over HTTP, whose pictures tell when they were made."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support.serving import serving

# The time is in so many squares of so many pixels at the top, the highest bit first; ``latency.js`` reads them.
BITS, SQUARE = 24, 32
WIDTH, HEIGHT = 1280, 720


def stamped(scene: NDArray[np.uint8]) -> bytes:
    """A JPEG of the scene with the present time in it, in milliseconds modulo 2²⁴."""
    picture = scene.copy()
    now = time.time_ns() // 1_000_000 % 2**BITS
    for bit in range(BITS):
        level = 235 if now >> (BITS - 1 - bit) & 1 else 20
        picture[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = level
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


@contextmanager
def stamping_camera(rate: float) -> Iterator[str]:
    """The address of a camera: ``/video`` for ``rate`` pictures a second, ``/picture`` for one at a time."""
    noise = np.random.default_rng(0).integers(60, 190, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    scene = np.asarray(cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    small = np.asarray(cv2.resize(scene, (640, 360), interpolation=cv2.INTER_AREA), np.uint8)
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/picture":
                jpeg = cv2.imencode(".jpg", small)[1].tobytes()
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(jpeg)))
                self.end_headers()
                self.wfile.write(jpeg)
                return
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=picture")
            self.end_headers()
            began, number = time.monotonic(), 0
            with suppress(OSError):
                while not ended.wait(max(0.0, began + number / rate - time.monotonic())):
                    jpeg = stamped(scene)
                    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    number += 1

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as address:
        try:
            yield address
        finally:
            ended.set()
