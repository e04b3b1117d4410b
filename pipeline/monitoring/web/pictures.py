"""Single pictures over HTTP: a camera's newest picture as a JPEG, and its trust map as a PNG.

Nothing is encoded until somebody asks, and then in a thread of Starlette's, one picture at a time.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from nightday.engines.device_copies import on_host

from ...analysis.trust import trust_layer_png, trust_png
from ...core.live import VIEWS, View
from ...core.picture_files import LARGEST, jpeg_of, png_of, with_square_pixels
from ...core.status import NewestPicture, Watched

Endpoint = Callable[[Request], "Response | Awaitable[Response]"]

# Columns of a snapshot at the least.
SMALLEST = 32
TIMES = ("day", "night")
UNKNOWN = "no camera of this name; /api/cameras lists them"


def picture_endpoints(watched: Watched) -> dict[str, Endpoint]:
    """What answers for pictures of ``watched``, by path."""
    at_work = threading.Lock()  # one picture at a time, whoever asks

    def show_trust(request: Request) -> Response:
        try:
            trust = watched.trust(request.path_params["name"])
        except KeyError:
            return refusal(404, UNKNOWN)
        if isinstance(trust, str):
            return refusal(404, trust)
        with at_work:
            png = trust_layer_png(trust) if request.query_params.get("as") == "layer" else trust_png(trust)
        return _picture(png, "image/png", trust.wall_time)

    def show_background(request: Request) -> Response:
        name, of = request.path_params["name"], request.query_params.get("of", TIMES[0])
        if of not in TIMES:
            return refusal(400, f"of is one of {', '.join(TIMES)}")
        try:
            background = watched.background(name, night=of == "night")
        except KeyError:
            return refusal(404, UNKNOWN)
        if background is None:
            return refusal(404, f"the empty scene of {name} by {of} is not known")
        with at_work:
            png = png_of(with_square_pixels(background.rgb, background.pixel_aspect))
        return Response(png, media_type="image/png")

    def show_snapshot(request: Request) -> Response:
        name, view = request.path_params["name"], request.query_params.get("view", VIEWS[0])
        try:
            newest = watched.newest(name)
        except KeyError:
            return refusal(404, UNKNOWN)
        if view not in VIEWS:
            return refusal(400, f"view is one of {', '.join(VIEWS)}")
        width = request.query_params.get("width", "9999")
        if not re.fullmatch("[0-9]{1,4}", width) or int(width) < SMALLEST:
            return refusal(400, f"width is a number of columns, {SMALLEST} to 9999")
        if newest is None:
            return refusal(503, f"no picture of {name} has come yet")
        try:
            with at_work:
                jpeg = snapshot_jpeg(newest, view, widest=int(width))
        except ValueError as error:
            return refusal(503, str(error))
        return _picture(jpeg, "image/jpeg", newest.wall_time)

    return {
        "/api/cameras/{name}/trust.png": show_trust,
        "/api/cameras/{name}/background.png": show_background,
        "/snapshot/{name}.jpg": show_snapshot,
    }


def snapshot_jpeg(newest: NewestPicture, view: View, *, widest: int) -> bytes:
    """A camera's newest picture as a JPEG with square pixels, of ``widest`` columns at most. A pair has night left.

    Raises ValueError for a picture too large for a JPEG.
    """
    chosen = {"day": (newest.shown,), "night": (newest.seen,), "pair": (newest.seen, newest.shown)}[view]
    pictures = [on_host(rgb, "snapshot") for rgb in chosen]
    rgb = with_square_pixels(pictures[0] if len(pictures) == 1 else np.hstack(pictures), newest.pixel_aspect)
    height, width = rgb.shape[:2]
    if width > widest and max(height, width) <= LARGEST:
        size = widest, max(1, round(height * widest / width))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return jpeg_of(rgb)


def refusal(status: int, sentence: str) -> Response:
    """An answer that is no picture."""
    return PlainTextResponse(f"{sentence}\n", status)


def _picture(data: bytes, media_type: str, wall_time: float) -> Response:
    headers = {"last-modified": formatdate(wall_time, usegmt=True), "content-type": media_type}
    return Response(data, headers=headers)
