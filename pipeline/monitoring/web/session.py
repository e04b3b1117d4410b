"""How a browser shows a token that was typed in once: by a cookie."""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import HTTPConnection


class Session:
    """The cookie that stands for a token. It is derived from the token, so it is void once that changes."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._value = hmac.new(self._token, b"nightday-stream, page", "sha256").hexdigest()
        # Browsers keep cookies by host, not by port, and another run may have another token.
        self._name = "nightday-" + hashlib.sha256(self._value.encode()).hexdigest()[:8]

    def is_token(self, text: str) -> bool:
        """Whether it is the token. It takes the same time however much of it is right."""
        return hmac.compare_digest(text.encode("utf-8", "surrogatepass"), self._token)

    def cookie(self, asked: HTTPConnection, *, lasts: bool = True) -> str:
        """The header that has a browser keep the cookie until it is closed, or forget it."""
        secure = "; Secure" if asked.headers.get("origin", "").startswith("https://") else ""
        value = self._value if lasts else "; Max-Age=0"
        return f"{self._name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def shown_by(self, asked: HTTPConnection) -> str | None:
        """What shows that ``asked`` may see everything: ``header``, ``query`` or ``cookie``; None if nothing does."""
        scheme, _, credentials = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            shown = hmac.compare_digest(credentials.strip().encode("latin-1"), self._token)
            return "header" if shown else None
        if "token" in asked.query_params:
            return "query" if self.is_token(asked.query_params["token"]) else None
        cookie = asked.cookies.get(self._name, "").encode("utf-8", "surrogatepass")
        return "cookie" if hmac.compare_digest(cookie, self._value.encode()) else None
