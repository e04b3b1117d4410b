"""Trying the address of a camera that may be added: its picture, or what is wrong and what to do."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ...config.address_hints import address_hint
from ...core.camera_url import CameraUrl, redact
from ...core.clock import SystemClock
from ...core.counters import CameraStats
from ...core.faults import detail_of
from ...core.picture_files import jpeg_of, with_square_pixels
from ...sources.base import ConnectionSettings, SourceLostError
from ...sources.frame_skipping import FrameSkipping
from ...sources.jpegs import ONE_PICTURE
from ...sources.network import PROTOCOLS
from ...sources.registry import advice, open_source, source_fault
from .pictures import refusal

# Seconds that an address has for its first picture.
LIMIT = 5.0
# Addresses that are tried at once.
MOST = 2
# Seconds between two pictures of an address that answers one.
EVERY = 2.0
# Columns of the picture at most.
WIDEST = 960

ONLY_NETWORK = (
    f"only addresses on the network can be tried here: {', '.join(f'{one}://' for one in PROTOCOLS)}"
)


def trial_routes() -> list[BaseRoute]:
    """What tries an address."""
    running: set[object] = set()

    async def try_it(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refusal(415, "send application/json")
        try:
            asked = json.loads(await request.body())
        except (ValueError, RecursionError):
            asked = None
        text = asked.get("url") if isinstance(asked, dict) else None
        if not isinstance(text, str) or not text.strip():
            return refusal(400, 'send {"url": "rtsp://10.0.0.5/stream1"}')
        if len(running) >= MOST:
            return refusal(503, f"{MOST} addresses are being tried already")
        return JSONResponse(await _in_thread(text.strip(), running))

    return [Route("/api/try", try_it, methods=["POST"])]


async def _in_thread(text: str, running: set[object]) -> dict[str, Any]:
    """``try_address`` in a thread of its own, which nobody waits for where a name look-up hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[dict[str, Any]] = loop.create_future()
    stop, token = threading.Event(), object()

    def end(result: dict[str, Any]) -> None:
        running.discard(token)
        if not done.done():
            done.set_result(result)

    def work() -> None:
        result = try_address(text, stop=stop)
        try:
            loop.call_soon_threadsafe(end, result)
        except RuntimeError:  # the server has ended
            return

    running.add(token)
    threading.Thread(target=work, name="try-address", daemon=True).start()
    try:
        return await asyncio.wait_for(done, LIMIT + 1.0)
    except asyncio.TimeoutError:
        return _fault("timeout", f"no picture came within {LIMIT:g} s", text)
    finally:
        stop.set()


def try_address(text: str, *, stop: threading.Event) -> dict[str, Any]:
    """The first picture of an address, as JSON; or why there is none, and what to do. No secret is in it."""
    url = CameraUrl(text)
    hint = address_hint(text)
    if url.scheme not in PROTOCOLS or hint is not None:
        return {
            "ok": False,
            "reason": "address",
            "sentence": f"{url} {hint}" if hint else ONLY_NETWORK,
            "advice": "",
        }
    fault = source_fault(url)
    if fault is not None:
        return {"ok": False, "reason": "address", "sentence": redact(f"{url} {fault}"), "advice": ""}
    settings = ConnectionSettings(
        open_timeout=LIMIT,
        stall_timeout=LIMIT,
        nvdec=False,
        stop=stop,
        stats=CameraStats(),
        skipping=FrameSkipping(),
        clock=SystemClock(),
    )
    try:
        try:
            return _first_picture(url, settings, text)
        except SourceLostError as lost:
            if lost.detail != ONE_PICTURE:
                raise
        return _first_picture(url, replace(settings, every_s=EVERY), text)
    except SourceLostError as lost:
        return _fault(lost.reason, lost.detail, text)
    except Exception as error:  # whatever a strange peer sends
        return _fault("failed", detail_of(error), text)


def _first_picture(url: CameraUrl, settings: ConnectionSettings, text: str) -> dict[str, Any]:
    # Whoever only serves the page does without them.
    from av.video.reformatter import VideoReformatter

    from nightday.engines.video import look

    from ...media.colour import to_rgb

    began = time.monotonic()
    with open_source(url, settings) as connection:
        decoded = next(iter(connection.frames()), None)
        if decoded is None:
            return _fault("end_of_stream", "it ended before its first picture", text)
        video, ends = decoded.video, connection.clock_watch is None
        rgb = with_square_pixels(to_rgb(video, VideoReformatter()), look.aspect_of(video))
    height, width = rgb.shape[:2]
    if width > WIDEST:
        size = WIDEST, max(1, round(height * WIDEST / width))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return {
        "ok": True,
        "seconds": round(time.monotonic() - began, 1),
        "width": width,
        "height": height,
        "ends": ends,
        "every_s": settings.every_s,
        "jpeg": base64.b64encode(jpeg_of(rgb)).decode(),
    }


def _fault(reason: str, detail: str, text: str) -> dict[str, Any]:
    url = CameraUrl(text)
    return {
        "ok": False,
        "reason": reason,
        "sentence": redact(f"{url}: {reason.replace('_', ' ')} ({detail})"),
        "advice": advice(url.scheme, reason) or "",
    }
