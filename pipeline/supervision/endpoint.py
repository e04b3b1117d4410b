"""The HTTP server of a run, which a reload may move."""

from __future__ import annotations

from ..config.schema import HttpConfig
from ..core.control import Controls
from ..core.events import Notice, Publish
from ..core.status import Watched
from ..monitoring.http_server import WebError, WebServer

# Seconds the server has to end.
CLOSE_WITHIN = 2.0


class HttpEndpoint:
    """Serves ``watched`` where the configuration says, or not at all.

    Args:
        watched: the run.
        controls: the same, as it may be changed.
        publish: told when the port is lost.
    """

    def __init__(self, watched: Watched, controls: Controls, publish: Publish) -> None:
        self._watched = watched
        self._controls = controls
        self._publish = publish
        self._server: WebServer | None = None
        self._settings: HttpConfig | None = None
        self._before: HttpConfig | None = None

    def serve(self, settings: HttpConfig | None) -> None:
        """Listen as ``settings`` say from now on, or not at all. Raises WebError if that port cannot be had."""
        if self._server is not None:
            self._server.close(CLOSE_WITHIN)
            self._server = self._settings = None
        if settings is not None:
            server = WebServer(settings, self._watched, controls=self._controls, publish=self._publish)
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
