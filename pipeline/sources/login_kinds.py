"""Why a login is refused that may be right: the camera wants a kind of it that FFmpeg does not know."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from ..core.camera_url import CameraUrl
from .tls import ENCRYPTED, any_certificate, connected

# Digest algorithms that FFmpeg computes; where none is named it is MD5 (RFC 7616, 3.3).
_KNOWN = ("MD5", "MD5-SESS")
# Bytes of a line of an answer that are read at the most.
_LINE = 4096


def unknown_login(url: CameraUrl, *, within: float) -> str | None:
    """What kind of login the camera wants, and what to do, if FFmpeg knows none of those that it names; else None.

    It is asked once more, without a login, which no camera counts as a failed one.

    Args:
        url: an address of HTTP or RTSP.
        within: seconds that connecting, and each line of the answer, may take.
    """
    try:
        wanted = _challenges(url, within)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    kinds = [_kind(challenge) for challenge in wanted]
    if not kinds or None in kinds:
        return None
    return (
        f"it wants a login by {' or '.join(dict.fromkeys(filter(None, kinds)))}, which FFmpeg does not know: "
        "set its authentication to digest with MD5, or to basic where the connection is encrypted"
    )


def _challenges(url: CameraUrl, within: float) -> list[str]:
    """The values of WWW-Authenticate that an answer to a request without a login has."""
    parts = urlsplit(url.reveal())
    scheme, host = parts.scheme.lower(), parts.netloc.rpartition("@")[2]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # No secret is sent, and the certificate was checked before where that is wanted.
    context = any_certificate() if scheme in ENCRYPTED else None
    if scheme.startswith("http"):
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    else:
        request = f"DESCRIBE rtsp://{host}{path} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    with connected(parts, within=within, context=context) as connection, connection.makefile("rb") as answer:
        connection.sendall(request.encode())
        if b" 401" not in answer.readline(_LINE):
            return []
        return http.client.parse_headers(answer).get_all("WWW-Authenticate") or []


def _kind(challenge: str) -> str | None:
    """The kind of login that a challenge asks for, in words, if FFmpeg does not know it; else None."""
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        return None
    if scheme.lower() != "digest":
        return scheme
    algorithm = parse_keqv_list(parse_http_list(rest)).get("algorithm", "MD5")
    return None if algorithm.upper() in _KNOWN else f"digest with {algorithm}"
