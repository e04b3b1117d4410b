"""WHIP's part over HTTP (RFC 9725): an offer goes to the server, its answer comes back, and a DELETE ends it all."""

from __future__ import annotations

import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from ...core.camera_url import CameraUrl
from ...core.faults import OutputError, OutputReason

_REASONS: dict[int, OutputReason] = {401: "unauthorised", 403: "unauthorised", 404: "not_found"}
# Bytes of an answer.
LARGEST = 100_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where a stream goes.

    Attributes:
        address: the ``http(s)://`` address that takes offers.
        token: what the server wants to see; "" for none.
    """

    address: str = field(repr=False)
    token: str = field(repr=False)

    @staticmethod
    def of(url: CameraUrl) -> Target:
        """What an address says. Raises ValueError with what is wrong with it and the way out, without the address."""
        form = "use whip://host/path for http, or whips://host/path for https"
        try:
            parts = urlsplit(url.reveal())
            host = parts.hostname
        except ValueError:
            raise ValueError(f"its host cannot be read; {form}") from None
        if not host:
            raise ValueError(f"no host; {form}")
        if "@" in parts.netloc:
            raise ValueError("WHIP has no login; give the server's token as ?token=…")
        if not parts.path.strip("/"):
            raise ValueError(f"no path; {form}")
        query = parse_qsl(parts.query, keep_blank_values=True)
        token = next((value for name, value in query if name == "token"), "")
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        scheme = "https" if parts.scheme.lower() == "whips" else "http"
        return Target(urlunsplit((scheme, parts.netloc, parts.path, rest, "")), token)


class WhipSession:
    """What a server made of an offer; making it sends the offer.

    Args:
        target: where to.
        offer: SDP.
        timeout: seconds that the server may take.

    Raises OutputError for a refusal, OSError for the network.
    """

    def __init__(self, target: Target, offer: str, *, timeout: float) -> None:
        self._target = target
        self._timeout = timeout
        try:
            with self._ask(target.address, "POST", offer.encode()) as reply:
                self.answer = reply.read(LARGEST).decode("utf-8", "replace")
                place = reply.headers.get("Location", "")
        except urllib.error.HTTPError as error:
            reason = _REASONS.get(error.code, "failed")
            raise OutputError(
                reason, f"the server answers the offer with {error.code} {error.reason}"
            ) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, OSError):
                raise error.reason from None
            raise OutputError("failed", "the server does not speak HTTP") from None
        except (HTTPException, ValueError):
            raise OutputError("failed", "the server does not speak HTTP") from None
        self._resource = self._same_server(place)

    def end(self) -> None:
        """Tell the server that the stream has ended; what it says to that does not matter."""
        if self._resource:
            with suppress(OSError, ValueError, HTTPException):
                self._ask(self._resource, "DELETE", None).close()

    def _same_server(self, place: str) -> str:
        """The session's address; the token goes to no other server."""
        address = urljoin(self._target.address, place) if place else ""
        here, there = urlsplit(self._target.address), urlsplit(address)
        return address if (here.scheme, here.netloc) == (there.scheme, there.netloc) else ""

    def _ask(self, address: str, method: str, body: bytes | None) -> urllib.response.addinfourl:
        headers = {"User-Agent": "nightday-stream"}
        if body is not None:
            headers["Content-Type"] = "application/sdp"
        if self._target.token:
            headers["Authorization"] = f"Bearer {self._target.token}"
        request = urllib.request.Request(address, data=body, headers=headers, method=method)
        return _OPENER.open(request, timeout=self._timeout)  # type: ignore[no-any-return]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An offer is not sent on by itself: the token would go with it."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """No other request."""


# Proxies of the environment are for the way out to the Internet, and a camera's server is mostly near.
_OPENER = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
