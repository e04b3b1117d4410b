"""What may be changed over HTTP. The guard lets only our own pages do so, and bounds what they send."""

from __future__ import annotations

import json
from typing import get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ...core.camera_url import redact
from ...core.control import Controls, NewCamera, Translate
from .pictures import UNKNOWN, refusal

_NEW_FORM = (
    '{"name": "gate", "url": "rtsp://10.0.0.5/stream1"}, and if you like "every_s": 2 and "record": true'
)
CHOICES: tuple[Translate, ...] = get_args(Translate)


def change_routes(controls: Controls) -> list[BaseRoute]:
    """What takes changes to a run."""

    async def set_translate(request: Request) -> Response:
        if not _is_json(request):
            return refusal(415, "send application/json")
        try:
            asked = json.loads(await request.body())
            (when,) = asked.values() if isinstance(asked, dict) and "translate" in asked else [None]
        except (ValueError, RecursionError):
            when = None
        if not isinstance(when, str) or when not in CHOICES:
            return refusal(400, f'send {{"translate": "{CHOICES[0]}"}}, or one of {", ".join(CHOICES[1:])}')
        try:
            await run_in_threadpool(controls.set_translate, request.path_params["name"], when)
        except KeyError:
            return refusal(404, UNKNOWN)
        except ValueError as error:
            return refusal(409, str(error))
        return JSONResponse({"translate": when})

    async def add(request: Request) -> Response:
        if not _is_json(request):
            return refusal(415, "send application/json")
        camera = _new_camera(await request.body())
        if camera is None:
            return refusal(400, f"send {_NEW_FORM}")
        try:
            added = await run_in_threadpool(controls.add_camera, camera)
        except ValueError as error:
            return refusal(409, redact(str(error)))
        files = {"file": str(added.file), "backup": str(added.backup)}
        return JSONResponse(
            {"added": camera.name, **files, "secrets": [str(one) for one in added.secrets]}, 201
        )

    async def may_add(request: Request) -> Response:
        fault = await run_in_threadpool(controls.adding_fault)
        return JSONResponse({"may_add": fault is None, "because": fault})

    return [
        Route("/api/cameras/{name}/translate", set_translate, methods=["POST"]),
        Route("/api/add", add, methods=["POST"]),
        Route("/api/add", may_add),
    ]


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _new_camera(body: bytes) -> NewCamera | None:
    """What is to be added; None for what is no camera. Its name and address are looked at with the configuration."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or not {"name", "url"} <= set(asked) <= {
        "name",
        "url",
        "every_s",
        "record",
    }:
        return None
    name, url, every, record = (asked.get(key) for key in ("name", "url", "every_s", "record"))
    if not isinstance(name, str) or not isinstance(url, str):
        return None
    number = every is None or (isinstance(every, (int, float)) and not isinstance(every, bool))
    if not number or not isinstance(record, (bool, type(None))):
        return None
    if any(not char.isprintable() for char in name + url):
        return None
    return NewCamera(name.strip(), url.strip(), every, record is True)
