"""A camera's recorded files over HTTP: which there are, and each of them, in parts as players ask for them.

A file is found by its name only if one of the camera's outputs could have given it that name, so nothing else on the
disk can be reached.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from ...core.status import Watched
from ...outputs.mp4.recordings import Recording, find_recording, recorded
from .connections import CONNECTION, LongConnection
from .pictures import UNKNOWN, refusal

# Files that are listed, the newest.
LISTED = 50
# Files that are sent at once.
MOST_SENT = 16
# Seconds in which whoever gets one must take something.
STALLED = 30.0


def recording_routes(watched: Watched) -> list[BaseRoute]:
    """What answers for the recordings of ``watched``."""
    looking = threading.Lock()  # a disk that does not answer takes one thread and no more
    sent: set[object] = set()

    def show_list(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            templates = watched.recordings(name)
        except KeyError:
            return refusal(404, UNKNOWN)
        if not looking.acquire(blocking=False):
            return refusal(503, "the disk is being looked at already; try again")
        try:
            found = [(output, one) for output, template in enumerate(templates) for one in recorded(template)]
        finally:
            looking.release()
        found.sort(key=lambda item: item[1].changed, reverse=True)
        return JSONResponse({"recordings": [_entry(name, templates, *item) for item in found[:LISTED]]})

    def show_file(request: Request) -> Response:
        try:
            templates = watched.recordings(request.path_params["name"])
        except KeyError:
            return refusal(404, UNKNOWN)
        numbers = {str(number): template for number, template in enumerate(templates)}
        template = numbers.get(request.path_params["output"])
        found = None if template is None else find_recording(template, request.path_params["file"])
        if found is None:
            return refusal(404, "no such recording; /api/cameras/NAME/recordings lists them")
        if len(sent) >= MOST_SENT:
            return refusal(503, f"{MOST_SENT} recordings are being sent already")
        return _File(found.path, sent)

    return [
        Route("/api/cameras/{name}/recordings", show_list),
        Route("/api/cameras/{name}/recordings/{output}/{file:path}", show_file),
    ]


def _entry(camera: str, templates: Sequence[Path], output: int, found: Recording) -> dict[str, object]:
    return {
        "name": found.name,
        "output": str(templates[output]),
        "url": f"/api/cameras/{camera}/recordings/{output}/{quote(found.name)}",
        "bytes": found.size,
        "changed": round(found.changed, 3),
    }


class _Sent(Exception):  # noqa: N818 - nothing went wrong
    """All that was there at first has been sent."""


class _File(FileResponse):
    """A file, of which no more is sent than there was at first, as it may grow; cut off if nobody takes it."""

    def __init__(self, path: Path, sent: set[object]) -> None:
        super().__init__(path, media_type="video/mp4", filename=path.name, content_disposition_type="inline")
        self._sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ``Response``."""
        connection = cast(LongConnection, scope[CONNECTION])
        left, done = 0, False

        async def send_bounded(message: Message) -> None:
            nonlocal left, done
            if message["type"] == "http.response.start":
                left = next(int(value) for name, value in message["headers"] if name == b"content-length")
            elif done:
                raise _Sent
            else:
                body = message["body"][:left]
                left -= len(body)
                done = not (message["more_body"] and left)
                message = {**message, "body": body, "more_body": not done}
            try:
                await asyncio.wait_for(send(message), STALLED)
            except asyncio.TimeoutError:
                connection.shutdown()

        connection.stay()
        self._sent.add(self)
        try:
            await super().__call__(scope, receive, send_bounded)
        except _Sent:
            pass
        except (OSError, RuntimeError):  # retention has deleted it meanwhile
            connection.shutdown()
        finally:
            self._sent.discard(self)
