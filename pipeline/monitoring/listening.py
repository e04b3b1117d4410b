"""Where the HTTP server listens, and what keeps it from that: looked at without what it takes to serve."""

from __future__ import annotations

import errno
import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from nightday.engines.errors import NightdayError

if TYPE_CHECKING:
    from ..config.schema import HttpConfig

# Bytes that are read of what answers where we would listen.
LARGEST_ANSWER = 16 * 1024


class WebError(NightdayError, RuntimeError):
    """The server cannot listen at its address. The message is one line and says what to do."""


def bracketed(host: str) -> str:
    """A host as addresses have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises WebError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)  # localhost has two
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        raise WebError(f"http: cannot listen at {bracketed(host)}:{port}: {_why(error)}") from None


def port_fault(settings: HttpConfig) -> str | None:
    """Why nothing could listen where ``settings`` say at the moment, and the way out; None if it could."""
    try:
        listen(settings.host, settings.port).close()
    except WebError as error:
        return str(error)
    return None


def is_served(settings: HttpConfig) -> bool:
    """Whether it is another run of this program that listens there."""
    connection = HTTPConnection(settings.host, settings.port, timeout=1.0)
    try:
        connection.request("GET", "/healthz")
        return "alive" in json.loads(connection.getresponse().read(LARGEST_ANSWER))
    except (OSError, HTTPException, ValueError, TypeError):
        return False
    finally:
        connection.close()


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "no such host; set http.host to an address of this machine, e.g. 127.0.0.1"
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is taken; set http.port to another (0 takes a free one)"
        case errno.EADDRNOTAVAIL:
            return "not an address of this machine; set http.host to one that is, e.g. 127.0.0.1"
        case errno.EACCES:
            return "not permitted; set http.port to one from 1024 on"
        case _:
            return f"{error.strerror}; set http.host and http.port to others"
