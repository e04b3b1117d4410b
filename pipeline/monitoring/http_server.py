"""The HTTP endpoints: health, readiness, metrics, the cameras as JSON and as a page.

Anything that can reach the port can ask, including web pages in the user's own browser. So only GET and HEAD are
answered, and no request that comes from another page. On loopback a request must name this machine as its host,
because a foreign name could be made to resolve to it. If a token is set, a request must show it.

A connection carries one request and lives for ``TIME_LIMIT`` seconds. When there are too many connections, the
oldest is cut off, so that slow clients keep nobody else out. Those of live streams are counted apart (``live``) and
last. Uvicorn's own limit would refuse the newest instead,
and it does not limit the time that a request's head takes.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import hmac
import json
import logging
import re
import socket
import struct
import threading
from http.client import HTTPConnection, HTTPException
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from nightday.engines.errors import NightdayError

from ..config.schema import HttpConfig, is_loopback
from ..core.event_log import to_log
from ..core.events import Notice, Publish
from ..core.status import Watched
from .api import camera_json, readiness_json
from .live import CONNECTION, live_endpoints
from .pictures import Endpoint, picture_endpoints
from .prometheus import PrometheusMetrics
from .status_page import STYLE, Page

# Seconds from a connection's opening until it is closed, whatever it is doing.
TIME_LIMIT = 10.0
MOST_CONNECTIONS = 64
# Connections that wait to be accepted. With 16, one of 20 clients at once waited a second for the kernel's next try.
BACKLOG = 128
# Bytes of request line and headers.
LARGEST_HEAD = 16 * 1024

# Answered without a token, for whatever watches the process. They name no camera.
_OPEN = ("/healthz", "/readyz")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?")


class WebError(NightdayError, RuntimeError):
    """The server cannot listen at its address. The message is one line and says what to do."""


class WebServer:
    """Serves what is ``watched``, in a thread of its own.

    Args:
        settings: where to listen, and the token.
        watched: what to show.
        time_limit: seconds a connection may last.
        most_connections: open at once.
        publish: told once it listens.
    """

    def __init__(
        self,
        settings: HttpConfig,
        watched: Watched,
        *,
        time_limit: float = TIME_LIMIT,
        most_connections: int = MOST_CONNECTIONS,
        publish: Publish = to_log,
    ) -> None:
        self._publish = publish
        self._settings = settings
        self._listener: socket.socket | None = None
        self._port = settings.port
        config = uvicorn.Config(
            web_app(settings, watched),
            http=_connection_type(time_limit, most_connections),
            loop="asyncio",
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=LARGEST_HEAD,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def start(self) -> None:
        """Listen, and serve from now on. Raises WebError if the port cannot be had."""
        self._listener = _listen(self._settings.host, self._settings.port)
        self._port = self._listener.getsockname()[1]
        # A client could fill the log with malformed requests, so they are not logged.
        logger = logging.getLogger("uvicorn.error")
        logger.setLevel(logging.ERROR)
        logger.addFilter(_is_ours)
        self._thread.start()
        self._publish(Notice(name="http_listening", detail=f"listening at {self.address}"))

    @property
    def address(self) -> str:
        """Where it listens, e.g. ``http://127.0.0.1:8080``. Raises RuntimeError before ``start``."""
        if self._listener is None:
            raise RuntimeError("the server has not been started")
        return f"http://{_bracketed(self._settings.host)}:{self._port}"

    def close(self, timeout: float) -> bool:
        """Stop listening and end the thread within ``timeout`` seconds. True if it has ended."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        assert self._listener is not None
        self._server.run(sockets=[self._listener])


def web_app(settings: HttpConfig, watched: Watched) -> ASGIApp:
    """The endpoints as an ASGI application, guarded."""
    metrics, page = PrometheusMetrics(watched), Page(watched)

    async def healthz(request: Request) -> Response:
        if watched.beating():
            return JSONResponse({"alive": True})
        reason = "the loop or its supervisor has not shown a sign of life in time"
        return JSONResponse({"alive": False, "reason": reason}, 503)

    async def readyz(request: Request) -> Response:
        state = readiness_json(watched)
        return JSONResponse(state, 200 if state["ready"] else 503)

    async def show_metrics(request: Request) -> Response:
        text, content_type = metrics.text(accept=request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    async def show_cameras(request: Request) -> Response:
        return JSONResponse({"cameras": [camera_json(camera) for camera in watched.cameras()]})

    async def show_page(request: Request) -> Response:
        return HTMLResponse(page.html())

    endpoints: dict[str, Endpoint] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": show_metrics,
        "/api/cameras": show_cameras,
        "/": show_page,
        **picture_endpoints(watched),
        **live_endpoints(watched),
    }
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in endpoints.items()])
    app.router.redirect_slashes = False  # it would redirect to the host that the request names
    return _Guard(app, settings)


class _Guard:
    """Refuses requests that may not be answered, and adds to each answer the headers that browsers go by."""

    def __init__(self, app: ASGIApp, settings: HttpConfig) -> None:
        self._app = app
        self._token = settings.token.get_secret_value().encode() if settings.token else None
        # On other addresses any name will do, because a token is needed there, and no browser sends that on its own.
        names = {*_LOOPBACK, _bracketed(settings.host).lower()}
        self._names = names if is_loopback(settings.host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        answer = self._refusal(Request(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that is refused; None for the others."""
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("only GET and HEAD\n", 405, {"allow": "GET, HEAD"})
        raw: list[tuple[bytes, bytes]] = request.scope["headers"]
        head = len(request.scope["raw_path"]) + len(request.scope["query_string"])
        if head + sum(len(name) + len(value) for name, value in raw) > LARGEST_HEAD:
            return PlainTextResponse("too much in the head of the request\n", 431)
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            return PlainTextResponse("no body is taken\n", 413)
        host = request.headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            return PlainTextResponse(f"not served under this name; use {' or '.join(_LOOPBACK)}\n", 403)
        ours = (f"http://{host}", f"https://{host}")
        if any(origin not in ours for origin in request.headers.getlist("origin")):
            return PlainTextResponse("not for other pages\n", 403)
        # Not request.url.path: that is made from the Host header.
        path = request.scope["path"]
        if self._token is not None and path not in _OPEN and not _shows(request, self._token):
            message = "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN\n"
            return PlainTextResponse(message, 401, {"www-authenticate": "Bearer"})
        return None


def _shows(request: Request, token: bytes) -> bool:
    """Whether the request shows ``token``. It takes the same time however much of it is right."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return hmac.compare_digest(credentials.strip().encode("latin-1"), token)
    return hmac.compare_digest(request.query_params.get("token", "").encode(), token)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn's is to be logged; not if a request turned out malformed while it was answered."""
    return record.exc_info is None or not isinstance(record.exc_info[1], h11.LocalProtocolError)


def _name(host: str) -> str | None:
    """The name in a ``Host`` header, without its port; None if it is none."""
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _connection_type(time_limit: float, most: int) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP/1.1 protocol with limits on how long connections last, and on how many there are."""
    opened: dict[Connection, None] = {}  # the oldest first

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._end = self.loop.call_later(time_limit, _cut_off, transport)
            app = self.app

            async def with_connection(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, CONNECTION: self}, receive, send)

            self.app = with_connection
            opened[self] = None
            if len(opened) > most:
                oldest = next(iter(opened))
                del opened[oldest]  # now, because its `connection_lost` comes later
                _cut_off(oldest.transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._end.cancel()
            opened.pop(self, None)
            super().connection_lost(exc)

        def stay(self) -> None:
            self._end.cancel()
            opened.pop(self, None)

        def shutdown(self) -> None:
            self.transport.abort()

    return Connection


def _cut_off(transport: asyncio.Transport) -> None:
    # Without lingering, or the kernel would keep megabytes that the client does not read.
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises WebError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)  # localhost has two
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        raise WebError(f"http: cannot listen at {_bracketed(host)}:{port}: {_why(error)}") from None


def port_fault(settings: HttpConfig) -> str | None:
    """Why nothing could listen where ``settings`` say at the moment, and the way out; None if it could."""
    try:
        _listen(settings.host, settings.port).close()
    except WebError as error:
        return str(error)
    return None


def is_served(settings: HttpConfig) -> bool:
    """Whether it is another run of this program that listens there."""
    connection = HTTPConnection(settings.host, settings.port, timeout=1.0)
    try:
        connection.request("GET", "/healthz")
        return "alive" in json.loads(connection.getresponse().read(LARGEST_HEAD))
    except (OSError, HTTPException, ValueError, TypeError):
        return False
    finally:
        connection.close()


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "no such host; set http.host to an address of this machine, e.g. 127.0.0.1"
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is taken; set http.port to another (0 takes a free one)"
        case errno.EADDRNOTAVAIL:
            return "not an address of this machine; set http.host to one that is, e.g. 127.0.0.1"
        case errno.EACCES:
            return "not permitted; set http.port to one from 1024 on"
        case _:
            return f"{error.strerror}; set http.host and http.port to others"


_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_HEADERS = [
    (b"connection", b"close"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),  # the address may hold the token
    (b"x-content-type-options", b"nosniff"),
]
