"""Single pictures over HTTP: a camera's newest picture as a JPEG, and its trust map as a PNG.

Nothing is encoded until somebody asks, and then in a thread of Starlette's, one picture at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from nightday.engines.device_copies import on_host

from ..analysis.trust import trust_png
from ..core.jpeg import jpeg_of
from ..core.png import with_square_pixels
from ..core.status import NewestPicture, Watched

Endpoint = Callable[[Request], "Response | Awaitable[Response]"]

VIEWS = ("day", "night", "pair")
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
            png = trust_png(trust)
        return _picture(png, "image/png", trust.wall_time)

    def show_snapshot(request: Request) -> Response:
        name, view = request.path_params["name"], request.query_params.get("view", VIEWS[0])
        try:
            newest = watched.newest(name)
        except KeyError:
            return refusal(404, UNKNOWN)
        if view not in VIEWS:
            return refusal(400, f"view is one of {', '.join(VIEWS)}")
        if newest is None:
            return refusal(503, f"no picture of {name} has come yet")
        try:
            with at_work:
                jpeg = snapshot_jpeg(newest, view)
        except ValueError as error:
            return refusal(503, str(error))
        return _picture(jpeg, "image/jpeg", newest.wall_time)

    return {"/api/cameras/{name}/trust.png": show_trust, "/snapshot/{name}.jpg": show_snapshot}


def snapshot_jpeg(newest: NewestPicture, view: str) -> bytes:
    """A camera's newest picture as a JPEG with square pixels: one of ``VIEWS``, of which a pair has night left.

    Raises ValueError for a picture too large for a JPEG.
    """
    chosen = {"day": (newest.shown,), "night": (newest.seen,), "pair": (newest.seen, newest.shown)}[view]
    pictures = [on_host(rgb, "snapshot") for rgb in chosen]
    rgb = pictures[0] if len(pictures) == 1 else np.hstack(pictures)
    return jpeg_of(with_square_pixels(rgb, newest.pixel_aspect))


def refusal(status: int, sentence: str) -> Response:
    """An answer that is no picture."""
    return PlainTextResponse(f"{sentence}\n", status)


def _picture(data: bytes, media_type: str, wall_time: float) -> Response:
    headers = {"last-modified": formatdate(wall_time, usegmt=True), "content-type": media_type}
    return Response(data, headers=headers)
