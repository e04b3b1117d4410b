"""The pages that people look at, the files they are made of, and logging in to them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ...core.status import RunState
from .pictures import UNKNOWN, refusal
from .session import Session
from .table import Page
from .templates import environment
from .whep import webrtc_is_there

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGE = re.compile(r"/(table|report|camera/[A-Za-z0-9_-]{1,64})?")


class _File:
    """A file that a page is made of, as it is sent."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.media_type = _TYPES[path.suffix]
        self.tag = f'"{hashlib.sha256(self.data).hexdigest()[:16]}"'


_FILES = {
    path.name: _File(path)
    for path in sorted(Path(__file__).with_name("static").iterdir())
    if path.suffix in _TYPES
}


def is_page(path: str) -> bool:
    """Whether people look at what is there with a browser."""
    return _PAGE.fullmatch(path) is not None


def login_html(to: str, *, wrong: bool = False) -> str:
    """A page that asks for the token, and leads to the page ``to``; ``wrong`` says that what was given is not it."""
    return environment.get_template("login.html.jinja").render(to=to if is_page(to) else "/", wrong=wrong)


def page_routes(watched: RunState, session: Session | None) -> list[BaseRoute]:
    """What answers for pages on ``watched``."""
    page = Page(watched)
    login = session is not None
    grid_html = environment.get_template("grid.html.jinja").render(here="grid", login=login)
    camera_page = environment.get_template("camera.html.jinja")

    async def grid(request: Request) -> Response:
        return HTMLResponse(grid_html)

    async def camera(request: Request) -> Response:
        name = request.path_params["name"]
        if not any(one.name == name for one in watched.cameras()):
            return refusal(404, UNKNOWN)
        return HTMLResponse(
            camera_page.render(here="camera", login=login, name=name, webrtc=webrtc_is_there())
        )

    async def table(request: Request) -> Response:
        return HTMLResponse(page.html())

    async def static(request: Request) -> Response:
        file = _FILES.get(request.path_params["name"])
        if file is None:
            return refusal(404, "Not Found")
        headers = {"etag": file.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.data, headers=headers, media_type=file.media_type)

    return [
        Route("/", grid),
        Route("/camera/{name}", camera),
        Route("/table", table),
        Route("/static/{name}", static),
        *(_login_routes(session) if session is not None else []),
    ]


def _login_routes(session: Session) -> list[BaseRoute]:
    async def login(request: Request) -> Response:
        if request.method != "POST":
            return RedirectResponse("/", 303)
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        token, to = (form.get(name, [""])[0] for name in ("token", "to"))
        if not session.is_token(token):
            headers = {"www-authenticate": "Bearer", "referrer-policy": "same-origin"}
            return HTMLResponse(login_html(to, wrong=True), 401, headers)
        return RedirectResponse(
            to if is_page(to) else "/", 303, headers={"set-cookie": session.cookie(request)}
        )

    async def logout(request: Request) -> Response:
        return RedirectResponse("/", 303, headers={"set-cookie": session.cookie(request, lasts=False)})

    return [
        Route("/login", login, methods=["GET", "POST"]),
        Route("/logout", logout, methods=["POST"]),
    ]
