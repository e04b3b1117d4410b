"""Whether the name of a host in an address resolves, in words that hold no secret."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from .camera_url import MASK, CameraUrl


def unresolved(url: CameraUrl) -> str | None:
    """Why the name of the host in ``url`` cannot be looked up, and what to do; None if it can. Looks it up."""
    try:
        # What is shown of the address is known to hold no secret; part of a login that was read wrongly would be one.
        host, shown = urlsplit(url.reveal()).hostname, urlsplit(str(url)).hostname
    except ValueError:
        return None
    if not host or host != shown or MASK in host:
        return None
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        return not_resolved(host, error)
    return None


def not_resolved(host: str, error: OSError | UnicodeError) -> str:
    """What to say of the name of a host that cannot be looked up."""
    why = getattr(error, "strerror", None) or "it is no name of a host"
    return (
        f"the name {host} does not resolve ({why}): look at its spelling and at the DNS, or give an address"
    )
