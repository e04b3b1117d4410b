"""Cameras' pictures, streams, recordings and reports, fetched from the node that has the camera.

A node is served over HTTP with a token that only the coordinator knows. What a browser asks of the coordinator is
asked of the node in turn, and the answer is passed on as it comes; nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

import h11
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ..monitoring.web.connections import CONNECTION, LongConnection
from ..monitoring.web.live import MOST_VIEWERS, STALLED, disconnected, show_pieces, until_gone
from ..monitoring.web.pictures import UNKNOWN, refusal
from ..monitoring.web.reports import shown_of
from ..monitoring.web.templates import environment
from .view import ClusterView

# Seconds to connect to a node, and for its answer to begin.
CONNECT_WITHIN = 2.0
ANSWER_WITHIN = 9.0
# Seconds without a byte after which a node's answer is given up.
SILENT = 60.0
# Bytes read at once, and of a report.
CHUNK = 64 * 1024
LARGEST_REPORT = 1024 * 1024
# What is passed on of a request, and of its answer.
_ASKED = ("accept", "content-type", "if-modified-since", "if-none-match", "if-range", "range")
_ANSWERED = (
    *("accept-ranges", "cache-control", "content-disposition", "content-length", "content-range"),
    *("content-type", "etag", "last-modified"),
)
# Answers that may take as long as somebody watches.
_LONG = ("/live/", "/recordings/")
_PATHS = (
    *("/snapshot/{name}.jpg", "/live/{name}.ts", "/live/{name}.mp4", "/live/{name}.mjpeg"),
    *("/api/cameras/{name}/trust.png", "/api/cameras/{name}/background.png"),
    *("/api/cameras/{name}/recordings", "/api/cameras/{name}/recordings/{output}/{file:path}"),
    *("/api/cameras/{name}/report", "/api/cameras/{name}/report/{night}-{which}.jpg"),
)


class NodeSilentError(OSError):
    """A node does not answer."""


class Upstream:
    """A node's answer to one request, as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    async def ask(self, request: h11.Request, body: bytes) -> None:
        """Send a request and read the head of its answer. Raises OSError or h11's errors."""
        events: list[Any] = [request, h11.Data(body), h11.EndOfMessage()]
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        head = await asyncio.wait_for(self._next(), ANSWER_WITHIN)
        if not isinstance(head, h11.Response):
            raise NodeSilentError("the node hung up")
        self.status, self.headers = head.status_code, list(head.headers)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, in the pieces in which the node sent it where it is sent in chunks."""
        held: list[bytes] = []
        while True:
            event = await asyncio.wait_for(self._next(), SILENT)
            if not isinstance(event, h11.Data):
                return
            held.append(bytes(event.data))
            if event.chunk_end or (not event.chunk_start and len(held) == 1):
                yield b"".join(held)
                held.clear()

    def close(self) -> None:
        """Want no more."""
        self._writer.close()

    async def _next(self) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._reader.read(CHUNK))


class Forwarder:
    """What answers for the cameras of a cluster.

    Args:
        view: tells where each camera is.
        token: what nodes are shown.
        login: whether one can log out of the coordinator's page.
    """

    def __init__(self, view: ClusterView, token: str, *, login: bool) -> None:
        self._view = view
        self._token = token
        self._login = login
        self._present: set[object] = set()

    def routes(self) -> list[BaseRoute]:
        """The paths, and what answers."""
        routes: list[BaseRoute] = [Route(path, self._forward) for path in _PATHS]
        routes.append(Route("/api/cameras/{name}/translate", self._forward, methods=["POST"]))
        routes.append(Route("/report", self._report))
        return [*routes, WebSocketRoute("/live/{name}", self._live)]

    async def _forward(self, request: Request) -> Response:
        body = await request.body()
        asked = {name: request.headers[name] for name in _ASKED if name in request.headers}
        opened = await self._opened(request, request.method, request.url.path, asked, body)
        if isinstance(opened, Response):
            return opened
        long = any(part in request.url.path for part in _LONG) and opened.status in (200, 206)
        if long and len(self._present) >= MOST_VIEWERS:
            opened.close()
            return refusal(503, f"{MOST_VIEWERS} watch already")
        return _Passed(opened, self._present if long else None)

    async def _live(self, websocket: WebSocket) -> None:
        if len(self._present) >= MOST_VIEWERS:
            return await websocket.send_denial_response(refusal(503, f"{MOST_VIEWERS} watch already"))
        path = f"/live/{websocket.path_params['name']}.mp4"
        opened = await self._opened(websocket, "GET", path, {}, b"")
        if isinstance(opened, Response):
            return await websocket.send_denial_response(opened)
        try:
            if opened.status != 200:
                text = b"".join([piece async for piece in opened.pieces()])
                answer = Response(text, opened.status, media_type="text/plain")
                return await websocket.send_denial_response(answer)
            self._present.add(opened)
            await show_pieces(websocket, _UpstreamPieces(opened))
        finally:
            self._present.discard(opened)
            opened.close()

    async def _report(self, request: Request) -> Response:
        names = [camera.name for camera in self._view.cameras()]
        reports = await asyncio.gather(*(self._report_of(request, name) for name in names))
        shown = [shown_of(name, report) for name, report in zip(names, reports, strict=True)]
        page = environment.get_template("report.html.jinja")
        return HTMLResponse(page.render(here="report", login=self._login, cameras=shown))

    async def _report_of(self, request: Request, name: str) -> list[dict[str, Any]]:
        """The reports of a camera's nights; none where its node does not tell them."""
        opened = await self._opened(request, "GET", f"/api/cameras/{name}/report", {}, b"", name=name)
        if isinstance(opened, Response):
            return []
        text = b""
        try:
            async for piece in opened.pieces():
                text += piece
                if len(text) > LARGEST_REPORT:
                    return []
            nights = json.loads(text)["nights"] if opened.status == 200 else []
            return nights if isinstance(nights, list) else []
        except (OSError, h11.ProtocolError, asyncio.TimeoutError, ValueError, KeyError):
            return []
        finally:
            opened.close()

    async def _opened(
        self,
        asked: HTTPConnection,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        *,
        name: str | None = None,
    ) -> Upstream | Response:
        """The answer of the node that has the camera, or why there is none."""
        name = asked.path_params["name"] if name is None else name
        try:
            address = self._view.address_of(name)
        except KeyError:
            return refusal(404, UNKNOWN)
        if address is None:
            return refusal(503, f"no node that has {name} can be asked at the moment; /api/cameras says why")
        place = urlsplit(address)
        query = asked.scope["query_string"].decode("latin-1")
        query = "&".join(part for part in query.split("&") if part and not part.startswith("token="))
        sent = {
            "host": place.netloc,
            "authorization": f"Bearer {self._token}",
            "connection": "close",
            **headers,
        }
        if method == "POST":
            sent |= {"origin": f"http://{place.netloc}", "content-length": str(len(body))}
        target = f"{path}?{query}" if query else path
        request = h11.Request(method=method, target=target, headers=[*sent.items()])
        upstream: Upstream | None = None
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(place.hostname, place.port), CONNECT_WITHIN
            )
            upstream = Upstream(reader, writer)
            await upstream.ask(request, body)
        except (OSError, h11.ProtocolError, asyncio.TimeoutError):
            if upstream is not None:
                upstream.close()
            return refusal(502, f"the node that has {name} does not answer; another takes it over soon")
        return upstream


class _UpstreamPieces:
    """See ``Pieces``."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._pieces = upstream.pieces()

    async def next(self, *, within: float | None = None) -> bytes | None:
        try:
            return await asyncio.wait_for(self._pieces.__anext__(), within)
        except (StopAsyncIteration, OSError, h11.ProtocolError, asyncio.TimeoutError):
            return None

    def leave(self) -> None:
        self._upstream.close()


class _Passed(Response):
    """A node's answer, passed on as it comes until one of the ends has enough.

    Args:
        upstream: the answer.
        present: where it is counted, if it may take longer than others.
    """

    def __init__(self, upstream: Upstream, present: set[object] | None) -> None:
        super().__init__()
        self._upstream = upstream
        self._present = present

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ``Response``."""
        connection = cast(LongConnection, scope[CONNECTION])
        if self._present is not None:
            connection.stay()
            self._present.add(self)
        try:
            work = self._send(send, connection)
            await until_gone(work, disconnected(receive), _UpstreamPieces(self._upstream))
        finally:
            if self._present is not None:
                self._present.discard(self)
            self._upstream.close()

    async def _send(self, send: Callable[[Any], Awaitable[None]], connection: LongConnection) -> None:
        headers = [(name, value) for name, value in self._upstream.headers if name.decode() in _ANSWERED]
        await send({"type": "http.response.start", "status": self._upstream.status, "headers": headers})
        whole = False
        with suppress(OSError, h11.ProtocolError, asyncio.TimeoutError):
            async for piece in self._upstream.pieces():
                body = {"type": "http.response.body", "body": piece, "more_body": True}
                await asyncio.wait_for(send(body), STALLED)
            whole = True
        if not whole:  # a client must not take for whole what is not
            return connection.shutdown()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
