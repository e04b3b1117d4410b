"""Cameras' live streams over HTTP and WebSockets. Each viewer gets its own, and is the only one who suffers if it is
slow.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ...core.live import VIEWS, LiveForm, View
from ...core.status import Watched
from .connections import CONNECTION, LongConnection
from .pictures import UNKNOWN, refusal

# Viewers at once, of all cameras.
MOST_VIEWERS = 64
# Seconds until the first picture must have come; the connection is cut off after ten.
FIRST_WITHIN = 8.0
# Seconds in which a viewer must take something.
STALLED = 30.0

_BOUNDARY = "picture"
# MPEG-4's number for AAC (ISO/IEC 14496-1, 7.2.6.6.2).
_AAC = 0x40
_FORMS: dict[str, tuple[LiveForm, str]] = {
    "ts": ("ts", "video/mp2t"),
    "mp4": ("mp4", "video/mp4"),
    "mjpeg": ("jpeg", f"multipart/x-mixed-replace; boundary={_BOUNDARY}"),
}


def live_routes(watched: Watched, present: set[object]) -> list[BaseRoute]:
    """What answers for the live streams of ``watched``; ``present`` are those who watch, by whatever way."""

    async def show(ending: str, request: Request) -> Response:
        return _Stream(watched, request, *_FORMS[ending], present)

    async def socket(websocket: WebSocket) -> None:
        await _show_on(websocket, watched, present)

    routes: list[BaseRoute] = [Route(f"/live/{{name}}.{ending}", partial(show, ending)) for ending in _FORMS]
    return [*routes, WebSocketRoute("/live/{name}", socket)]


class Pieces(Protocol):
    """One viewer's stream, piece by piece."""

    async def next(self, *, within: float | None = None) -> bytes | None:
        """The next one; None if none comes ``within`` seconds, or none ever will."""
        ...

    def leave(self) -> None:
        """Want no more. May be called more than once."""
        ...


class ViewerPieces:
    """The pieces of one viewer's stream, as they come."""

    def __init__(
        self, watched: Watched, name: str, form: LiveForm, view: View, *, sound: bool = True
    ) -> None:
        loop, came = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(came.set)

        self._came = came
        self._viewer = watched.watch(name, form, wake, view=view, sound=sound)

    async def next(self, *, within: float | None = None) -> bytes | None:
        """The next one; None if none comes ``within`` seconds, or none ever will."""
        while True:
            self._came.clear()
            piece = self._viewer.take()
            if piece or piece is None:
                return piece
            try:
                await asyncio.wait_for(self._came.wait(), within)
            except asyncio.TimeoutError:
                return None

    def want_key(self) -> None:
        """Ask for a key frame."""
        self._viewer.want_key()

    def leave(self) -> None:
        """Want no more."""
        self._viewer.leave()


def view_for(asked: HTTPConnection, present: set[object]) -> View | Response:
    """The view that is asked for, or why nobody more can watch."""
    view = asked.query_params.get("view", VIEWS[0])
    if view not in VIEWS:
        return refusal(400, f"view is one of {', '.join(VIEWS)}")
    if len(present) >= MOST_VIEWERS:
        return refusal(503, f"{MOST_VIEWERS} watch already")
    return view


def wants_sound(asked: HTTPConnection) -> bool:
    """Whether the camera's sound is to go along: unless ``sound=no`` is asked for."""
    return asked.query_params.get("sound") != "no"


def _pieces(
    watched: Watched, asked: HTTPConnection, form: LiveForm, present: set[object]
) -> ViewerPieces | Response:
    """What ``asked`` is to be shown, or why not."""
    view = view_for(asked, present)
    if isinstance(view, Response):
        return view
    try:
        return ViewerPieces(watched, asked.path_params["name"], form, view, sound=wants_sound(asked))
    except KeyError:
        return refusal(404, UNKNOWN)


def _silent(asked: HTTPConnection) -> Response:
    return refusal(503, f"no picture of {asked.path_params['name']} comes at the moment")


async def until_gone(work: Awaitable[None], gone: Awaitable[None], pieces: Pieces) -> None:
    """Do ``work``, which takes ``pieces``, until it is done or the other end has gone."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # First: `wait_for` of Python 3.11 and before may swallow that it is cancelled; then the work ends by this.
        pieces.leave()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    """Wait until the other end has gone."""
    while not (await receive())["type"].endswith(".disconnect"):
        pass


class _Stream(Response):
    """An answer that goes on until one of the two ends has enough."""

    def __init__(
        self, watched: Watched, request: Request, form: LiveForm, media_type: str, present: set[object]
    ) -> None:
        super().__init__(media_type=media_type)
        self._watched = watched
        self._request = request
        self._form = form
        self._present = present

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ``Response``."""
        if scope["method"] == "HEAD":
            name = self._request.path_params["name"]
            known = any(camera.name == name for camera in self._watched.cameras())
            answer = Response(media_type=self.media_type) if known else refusal(404, UNKNOWN)
            return await answer(scope, receive, send)
        pieces = _pieces(self._watched, self._request, self._form, self._present)
        if isinstance(pieces, Response):
            return await pieces(scope, receive, send)
        self._present.add(self)
        try:
            await until_gone(self._send(pieces, scope, receive, send), disconnected(receive), pieces)
        finally:
            self._present.discard(self)
            pieces.leave()

    async def _send(self, pieces: Pieces, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes, until nothing more will or nobody takes it."""
        connection = cast(LongConnection, scope[CONNECTION])
        piece = await pieces.next(within=FIRST_WITHIN)
        if piece is None:
            return await _silent(self._request)(scope, receive, send)
        connection.stay()
        assert self.media_type is not None
        headers = [(b"content-type", self.media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self._form == "jpeg":
            await send(_body(f"--{_BOUNDARY}\r\n".encode()))
        while piece is not None:
            try:
                await asyncio.wait_for(send(_body(self._part(piece))), STALLED)
            except asyncio.TimeoutError:
                return connection.shutdown()
            piece = await pieces.next()
        await send(_body(b"", more=False))

    def _part(self, piece: bytes) -> bytes:
        """A piece as it is sent. A JPEG takes the next one's boundary along, or browsers would wait for that."""
        if self._form != "jpeg":
            return piece
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(piece)}\r\n\r\n"
        return head.encode() + piece + f"\r\n--{_BOUNDARY}\r\n".encode()


def _body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _show_on(websocket: WebSocket, watched: Watched, present: set[object]) -> None:
    """Send a stream as fragmented MP4: what it is as JSON, then its pieces."""
    pieces = _pieces(watched, websocket, "media_source", present)
    if isinstance(pieces, Response):
        return await websocket.send_denial_response(pieces)
    present.add(pieces)
    try:
        await show_pieces(websocket, pieces)
    finally:
        present.discard(pieces)


async def show_pieces(websocket: WebSocket, pieces: Pieces) -> None:
    """Send fragmented MP4 over a WebSocket that was asked for: what it is as JSON, then its pieces."""
    try:
        await websocket.receive()  # the request itself
        await until_gone(_send_on(websocket, pieces), disconnected(websocket.receive), pieces)
    finally:
        pieces.leave()


async def _send_on(websocket: WebSocket, pieces: Pieces) -> None:
    connection = cast(LongConnection, websocket.scope[CONNECTION])
    piece = await pieces.next(within=FIRST_WITHIN)
    if piece is None:
        return await websocket.send_denial_response(_silent(websocket))
    connection.stay()
    await websocket.accept()
    await websocket.send_text(json.dumps({"type": media_source_type(piece)}))
    while piece is not None:
        try:
            await asyncio.wait_for(websocket.send_bytes(piece), STALLED)
        except asyncio.TimeoutError:
            return connection.shutdown()
        piece = await pieces.next()
    await websocket.close()


def media_source_type(header: bytes) -> str:
    """What Media Source calls a stream whose header this is (RFC 6381), e.g. ``video/mp4; codecs="avc1.64001f"``.

    The three bytes are profile, constraints and level (ISO/IEC 14496-15, 5.3.3.1.2). Raises ValueError.
    """
    at = header.index(b"avcC") + 5
    sound = _sound_type(header)
    return f'video/mp4; codecs="avc1.{header[at : at + 3].hex()}{f",{sound}" if sound else ""}"'


def _sound_type(header: bytes) -> str | None:
    """The sound's codec in RFC 6381's words; None without sound."""
    for box, name in ((b"dOps", "opus"), (b"dfLa", "flac")):
        if box in header:
            return name
    start = header.find(b"esds")
    if start < 0:
        return None
    # Descriptors within each other (ISO/IEC 14496-1, 7.2.6): the stream, its decoder, and what that is told.
    at = _descriptor(header, start + 8) + 3
    at = _descriptor(header, at)
    kind = header[at]
    if kind != _AAC:
        return f"mp4a.{kind:02x}"
    at = _descriptor(header, at + 13)
    return f"mp4a.40.{header[at] >> 3}"


def _descriptor(data: bytes, at: int) -> int:
    """Where the content of the descriptor at ``at`` begins, after its tag and its length of up to four bytes."""
    at += 1
    while data[at] & 0x80:
        at += 1
    return at + 1
