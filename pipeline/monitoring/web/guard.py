"""Who is answered over HTTP.

Anything that can reach the port can ask, including web pages in the user's own browser. So no request is answered
that comes from another page, and what changes something has to come from ours. On loopback a request must name this
machine as its host, because a foreign name could be made to resolve to it. If a token is set, a request must show it,
or the cookie that a browser was given for it.
"""

from __future__ import annotations

import re

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...config.schema import HttpConfig, is_loopback
from ..listening import bracketed
from .pages import is_page, login_html
from .session import Session

# Bytes of request line and headers, and of what is sent to change something.
LARGEST_HEAD = 16 * 1024
LARGEST_BODY = 4096
# Bytes of an offer to watch over WebRTC. That of Chromium has 7,000.
LARGEST_OFFER = 32 * 1024

# Answered without a token, to what watches the process and to browsers that have to log in. They name no camera.
_OPEN = ("/healthz", "/readyz", "/login")
_OPEN_BELOW = "/static/"
_CHANGES = re.compile(r"/login|/logout|/api/try|/api/add|/api/cameras/[A-Za-z0-9_-]{1,64}/[a-z]+")
_OFFERS = re.compile(r"/live/[A-Za-z0-9_-]{1,64}/whep")
_SESSIONS = re.compile(r"/live/[A-Za-z0-9_-]{1,64}/whep/[A-Za-z0-9_-]{1,64}")
_LIVE = "/live/"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?")


class Guard:
    """Refuses requests that may not be answered, and adds to each answer the headers that browsers go by."""

    def __init__(self, app: ASGIApp, settings: HttpConfig, session: Session | None) -> None:
        self._app = app
        self._session = session
        # On other addresses any name will do, as a token is needed there, which no browser sends to another name.
        names = {*_LOOPBACK, bracketed(settings.host).lower()}
        self._names = names if is_loopback(settings.host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        asked = HTTPConnection(scope)
        shown = None if self._session is None else self._session.shown_by(asked)
        more: list[tuple[bytes, bytes]] = []
        if self._session is not None and shown == "query" and is_page(scope["path"]):
            more = [(b"set-cookie", self._session.cookie(asked).encode())]

        async def send_with_headers(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                names = {name for name, _ in message["headers"]}
                added = [header for header in [*_HEADERS, *more] if header[0] not in names]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        answer = self._refusal(asked, shown) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, asked: HTTPConnection, shown: str | None) -> Response | None:
        """The answer to a request that is refused; None for the others."""
        scope = asked.scope
        # Not asked.url.path: that is made from the Host header.
        path: str = scope["path"]
        method = scope.get("method", "GET")  # a WebSocket's
        allowed = _allowed(path)
        if method not in allowed:
            text = " and ".join(allowed)
            return PlainTextResponse(f"only {text}\n", 405, {"allow": ", ".join(allowed)})
        raw: list[tuple[bytes, bytes]] = scope["headers"]
        head = len(scope["raw_path"]) + len(scope["query_string"])
        if head + sum(len(name) + len(value) for name, value in raw) > LARGEST_HEAD:
            return PlainTextResponse("too much in the head of the request\n", 431)
        length = asked.headers.get("content-length", "0")
        most = allowed[method]
        if "transfer-encoding" in asked.headers or not _is_number(length) or int(length) > most:
            text = f"a body has {most} bytes at most, and says how many" if most else "no body is taken"
            return PlainTextResponse(f"{text}\n", 413)
        host = asked.headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            return PlainTextResponse(f"not served under this name; use {' or '.join(_LOOPBACK)}\n", 403)
        ours = (f"http://{host}", f"https://{host}")
        origins = asked.headers.getlist("origin")
        # Players send no Origin. A page cannot do without, or send an offer's type to us without asking first.
        watches = path.startswith(_LIVE) and shown != "cookie"
        needs_origin = method not in ("GET", "HEAD") and not watches
        if any(origin not in ours for origin in origins) or (needs_origin and not origins):
            text = (
                "not for other pages; say where it comes from with Origin"
                if needs_origin
                else "not for other pages"
            )
            return PlainTextResponse(f"{text}\n", 403)
        # A page at another port of this host would be given the cookie.
        site, mode = (asked.headers.get(f"sec-fetch-{name}", "") for name in ("site", "mode"))
        if site in ("same-site", "cross-site") and mode != "navigate" and shown == "cookie":
            return PlainTextResponse("not for other pages\n", 403)
        if self._session is None or shown or path in _OPEN or path.startswith(_OPEN_BELOW):
            return None
        challenge = {"www-authenticate": "Bearer"}
        if is_page(path) and "text/html" in asked.headers.get("accept", ""):
            # So that the form says where it was sent from.
            return HTMLResponse(login_html(path), 401, {**challenge, "referrer-policy": "same-origin"})
        message = "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN\n"
        return PlainTextResponse(message, 401, challenge)


def _allowed(path: str) -> dict[str, int]:
    """The methods that a path takes, and how many bytes of a body with each."""
    if _OFFERS.fullmatch(path):
        return {"POST": LARGEST_OFFER}
    if _SESSIONS.fullmatch(path):
        return {"DELETE": 0}
    looks = {"GET": 0, "HEAD": 0}
    return {**looks, "POST": LARGEST_BODY} if _CHANGES.fullmatch(path) else looks


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _name(host: str) -> str | None:
    """The name in a ``Host`` header, without its port; None if it is none."""
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else None


_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"connection", b"close"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"referrer-policy", b"no-referrer"),  # the address may hold the token
    (b"x-content-type-options", b"nosniff"),
]
