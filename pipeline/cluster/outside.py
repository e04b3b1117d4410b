"""What a cluster tells the outside, all of it in the coordinator's process: its page, and events of every node."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import ASGIApp

from ..config.schema import Config, HttpConfig
from ..core.camera_url import register_secret
from ..core.clock import SystemClock
from ..core.events import EventBus
from ..monitoring.http_server import app_of
from ..monitoring.notify.message import late
from ..monitoring.notify.notifications import Notifications
from ..monitoring.web.trial import trial_routes
from ..supervision.endpoint import HttpEndpoint
from .forward import Forwarder
from .home import ClusterHome
from .messages import Happened, Report
from .ray_nodes import RayNode
from .view import ClusterView, NodeMetrics

# Seconds in which the last events are sent.
NOTIFY_WITHIN = 1.0


class Outside:
    """The methods but for ``http_of`` are for the coordinator's thread.

    Args:
        view: what is seen of the cluster.
        bus: the coordinator's own events, which are told, too.
    """

    def __init__(self, view: ClusterView, bus: EventBus) -> None:
        self._view = view
        self._token = secrets.token_urlsafe(32)
        register_secret(self._token)
        self._endpoint = HttpEndpoint(self._app, bus.publish)
        home = ClusterHome(view, self._token)
        self._notifications = Notifications(home, publish=bus.publish, clock=SystemClock())
        bus.subscribe(self._notifications.note)

    def serve(self, config: Config) -> None:
        """Begin. Raises WebError: the port of ``http`` cannot be had."""
        self._endpoint.serve(config.http)
        self._notifications.serve(config)

    def change(self, config: Config) -> None:
        """Go on as ``config`` says. Raises WebError, and goes on as before: the port cannot be had."""
        try:
            self._endpoint.change(config.http)
        except Exception:
            self._endpoint.restore()
            raise
        self._notifications.serve(config)

    def close(self) -> None:
        """Send what can be sent, and end. May be called without ``serve``."""
        self._notifications.close(NOTIFY_WITHIN)
        self._endpoint.serve(None)

    def tell(self, node: str, report: Report, happened: Sequence[Happened]) -> None:
        """These things have happened on a node, as it has reported; and those that were left there."""
        for one in happened:
            origin = None if report.journal is None else (report.journal, one.number)
            self._notifications.note(one.event, at=one.at, node=node, origin=origin)
        if report.late is not None:
            for message in report.late.messages:
                self._notifications.note_late(late(message, report.late.journal))

    def http_of(self, node: RayNode) -> Mapping[str, Any]:
        """Where a node is served: for the coordinator alone, which has the token."""
        return {"host": node.address, "port": 0, "token": self._token}

    def _app(self, settings: HttpConfig) -> ASGIApp:
        forwarder = Forwarder(self._view, self._token, login=settings.token is not None)
        return app_of(settings, self._view, [*forwarder.routes(), *trial_routes()], NodeMetrics(self._view))
