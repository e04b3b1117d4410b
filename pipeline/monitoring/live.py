"""Cameras' live streams over HTTP. Each viewer gets its own, and is the only one who suffers if it is slow."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Protocol, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..core.live import LiveForm, Viewer
from ..core.status import Watched
from .pictures import UNKNOWN, Endpoint, refusal

# Viewers at once, of all cameras.
MOST_VIEWERS = 64
# Seconds until the first picture must have come; the connection is cut off after ten.
FIRST_WITHIN = 8.0
# Seconds in which a viewer must take something.
STALLED = 30.0

CONNECTION = "nightday.connection"
"""Where a request's scope has its ``LongConnection``."""

_MEDIA_TYPES: dict[LiveForm, str] = {"ts": "video/mp2t", "mp4": "video/mp4"}


class LongConnection(Protocol):
    """A connection that may outlast the time limit of the others."""

    def stay(self) -> None:
        """Lift the limits on how long it lasts."""
        ...

    def shutdown(self) -> None:
        """Cut it off."""
        ...


def live_endpoints(watched: Watched) -> dict[str, Endpoint]:
    """What answers for the live streams of ``watched``, by path."""
    present: set[_Stream] = set()

    async def show(form: LiveForm, request: Request) -> Response:
        return _Stream(watched, request.path_params["name"], form, present)

    return {f"/live/{{name}}.{form}": partial(show, form) for form in _MEDIA_TYPES}


class _Stream(Response):
    """An answer that goes on until one of the two ends has enough."""

    def __init__(self, watched: Watched, name: str, form: LiveForm, present: set[_Stream]) -> None:
        super().__init__()
        self._watched = watched
        self._name = name
        self._form = form
        self._present = present

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ``Response``."""
        loop, came = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(came.set)

        if scope["method"] == "HEAD":
            known = any(camera.name == self._name for camera in self._watched.cameras())
            answer = Response(media_type=_MEDIA_TYPES[self._form]) if known else refusal(404, UNKNOWN)
            return await answer(scope, receive, send)
        if len(self._present) >= MOST_VIEWERS:
            return await refusal(503, f"{MOST_VIEWERS} watch already")(scope, receive, send)
        try:
            viewer = self._watched.watch(self._name, self._form, wake)
        except KeyError:
            return await refusal(404, UNKNOWN)(scope, receive, send)
        self._present.add(self)
        tasks = [asyncio.ensure_future(self._send(viewer, came, scope, receive, send))]
        tasks.append(asyncio.ensure_future(_disconnected(receive)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._present.discard(self)
            viewer.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(
        self, viewer: Viewer, came: asyncio.Event, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Pass on what comes for ``viewer``, until nothing more will or nobody takes it."""
        connection = cast(LongConnection, scope[CONNECTION])
        started = False
        while True:
            came.clear()
            piece = viewer.take()
            if piece is None:
                break
            if not piece:
                try:
                    await asyncio.wait_for(came.wait(), None if started else FIRST_WITHIN)
                except asyncio.TimeoutError:
                    break
                continue
            if not started:
                started = True
                connection.stay()
                headers = [(b"content-type", _MEDIA_TYPES[self._form].encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                body = {"type": "http.response.body", "body": piece, "more_body": True}
                await asyncio.wait_for(send(body), STALLED)
            except asyncio.TimeoutError:
                return connection.shutdown()
        if started:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await refusal(503, f"no picture of {self._name} comes at the moment")(scope, receive, send)


async def _disconnected(receive: Receive) -> None:
    """Wait until the other end has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
