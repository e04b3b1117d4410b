"""Ports of loopback."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path


def lasting_port(kind: int = socket.SOCK_STREAM) -> int:
    """A free port, of TCP unless ``kind`` is ``SOCK_DGRAM``, that stays so while nobody listens at it.

    The kernel gives clients ports of a range of its own. One that knocks at such a port again and again while its
    server is away is one day given that very port: it is connected to itself, and the server cannot come back.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = secrets.randbelow(first - 10_000) + 10_000
        try:
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))
            return port
        except OSError:
            continue
