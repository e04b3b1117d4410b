"""The HTTP server: health, readiness, metrics, the cameras as JSON, and all that ``web/`` answers.

A connection carries one request and lives for ``TIME_LIMIT`` seconds. When there are too many connections, the
oldest is cut off, so that slow clients keep nobody else out. Those of live streams are counted apart
(``web/live.py``) and last. Uvicorn's own limit would refuse the newest instead, and it does not limit the time that a
request's head takes.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence

import h11
import uvicorn
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from ..config.schema import HttpConfig
from ..core.control import Controls
from ..core.event_log import to_log
from ..core.events import Notice, Publish
from ..core.status import RunState, Watched
from .api import camera_json, readiness_json, room_json
from .listening import bracketed, listen
from .prometheus import PrometheusMetrics
from .web.changes import change_routes
from .web.connections import connection_types
from .web.guard import LARGEST_HEAD, Guard
from .web.live import live_routes
from .web.pages import page_routes
from .web.pictures import Endpoint, picture_endpoints
from .web.recordings import recording_routes
from .web.reports import report_routes
from .web.session import Session
from .web.trial import trial_routes
from .web.whep import whep_routes

# Seconds from a connection's opening until it is closed, whatever it is doing.
TIME_LIMIT = 10.0
MOST_CONNECTIONS = 64
# Connections that wait to be accepted. With 16, one of 20 clients at once waited a second for the kernel's next try.
BACKLOG = 128
# Bytes of a message that a viewer may send over a WebSocket; it has nothing to say.
MOST_FROM_VIEWERS = 1024


class WebServer:
    """Serves an application, in a thread of its own.

    Args:
        settings: where to listen.
        app: what answers.
        time_limit: seconds a connection may last.
        most_connections: open at once.
        publish: told once it listens.
    """

    def __init__(
        self,
        settings: HttpConfig,
        app: ASGIApp,
        *,
        time_limit: float = TIME_LIMIT,
        most_connections: int = MOST_CONNECTIONS,
        publish: Publish = to_log,
    ) -> None:
        self._publish = publish
        self._settings = settings
        self._listener: socket.socket | None = None
        self._port = settings.port
        http, websocket = connection_types(time_limit, most_connections)
        config = uvicorn.Config(
            app,
            http=http,
            ws=websocket,
            ws_max_size=MOST_FROM_VIEWERS,
            ws_per_message_deflate=False,
            loop="asyncio",
            interface="asgi3",
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
        self._listener = listen(self._settings.host, self._settings.port)
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
        return f"http://{bracketed(self._settings.host)}:{self._port}"

    def close(self, timeout: float) -> bool:
        """Stop listening and end the thread within ``timeout`` seconds. True if it has ended."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        assert self._listener is not None
        self._server.run(sockets=[self._listener])


def web_app(settings: HttpConfig, watched: Watched, controls: Controls | None = None) -> ASGIApp:
    """The endpoints as an ASGI application, guarded."""
    pictures = [Route(path, endpoint) for path, endpoint in picture_endpoints(watched).items()]
    present: set[object] = set()
    routes = [*pictures, *live_routes(watched, present), *whep_routes(watched, present)]
    routes += recording_routes(watched)
    routes += [*trial_routes(), *report_routes(watched, login=settings.token is not None)]
    routes += change_routes(controls) if controls is not None else []
    return app_of(settings, watched, routes)


def app_of(
    settings: HttpConfig, watched: RunState, more: Sequence[BaseRoute], *collectors: Collector
) -> ASGIApp:
    """Health, metrics, the cameras as JSON and the pages as an ASGI application, guarded.

    Args:
        settings: the token.
        watched: what to show.
        more: what else is answered: cameras' pictures, streams, recordings and reports.
        collectors: what else is among the metrics.
    """
    metrics = PrometheusMetrics(watched, *collectors)
    session = Session(settings.token.get_secret_value()) if settings.token else None

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
        names = request.query_params.getlist("name")
        shown = [camera for camera in watched.cameras() if not names or camera.name in names]
        return JSONResponse({"cameras": [camera_json(camera) for camera in shown], **room_json(watched)})

    endpoints: dict[str, Endpoint] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": show_metrics,
        "/api/cameras": show_cameras,
    }
    routes: list[BaseRoute] = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    app = Starlette(routes=[*routes, *more, *page_routes(watched, session)])
    app.router.redirect_slashes = False  # it would redirect to the host that the request names
    return Guard(app, settings, session)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn's is to be logged; not if a request turned out malformed while it was answered."""
    return record.exc_info is None or not isinstance(record.exc_info[1], h11.LocalProtocolError)
