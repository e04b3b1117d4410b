"""What may be changed over HTTP. The guard lets only our own pages do so, and bounds what they send."""

from __future__ import annotations

import json
from typing import get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ...core.control import Controls, Translate
from .pictures import UNKNOWN, refusal

CHOICES: tuple[Translate, ...] = get_args(Translate)


def change_routes(controls: Controls) -> list[BaseRoute]:
    """What takes changes to a run."""

    async def set_translate(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
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

    return [Route("/api/cameras/{name}/translate", set_translate, methods=["POST"])]
