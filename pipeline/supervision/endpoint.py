"""The HTTP server of a run, which a reload may move."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp

from ..config.schema import HttpConfig
from ..core.events import Notice, Publish
from ..monitoring.http_server import WebServer
from ..monitoring.listening import WebError

# Seconds the server has to end.
CLOSE_WITHIN = 2.0


class HttpEndpoint:
    """Serves a run where the configuration says, or not at all.

    Args:
        make_app: makes what answers, as the settings say.
        publish: told when the port is lost.
    """

    def __init__(self, make_app: Callable[[HttpConfig], ASGIApp], publish: Publish) -> None:
        self._make_app = make_app
        self._publish = publish
        self._server: WebServer | None = None
        self._settings: HttpConfig | None = None
        self._before: HttpConfig | None = None

    @property
    def address(self) -> str | None:
        """Where it listens, e.g. ``http://127.0.0.1:8080``; None if it does not."""
        server = self._server
        return None if server is None else server.address

    def serve(self, settings: HttpConfig | None) -> None:
        """Listen as ``settings`` say from now on, or not at all. Raises WebError if that port cannot be had."""
        if self._server is not None:
            self._server.close(CLOSE_WITHIN)
            self._server = self._settings = None
        if settings is not None:
            server = WebServer(settings, self._make_app(settings), publish=self._publish)
            server.start()
            self._server, self._settings = server, settings

    def change(self, settings: HttpConfig | None) -> None:
        """``serve``, unless it listens so already. After a WebError ``restore`` goes back to what was before."""
        if settings != self._settings:
            self._before = self._settings
            self.serve(settings)

    def restore(self) -> None:
        """Listen as before ``change``, where that is still possible."""
        try:
            self.serve(self._before)
        except (
            WebError
        ) as error:  # the port was taken meanwhile: the run goes on without until the next reload
            self._publish(Notice(name="http_lost", detail=str(error), level="error"))
