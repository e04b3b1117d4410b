"""Connections that are limited in time and number, unless a live stream goes over them."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.events import Ping

CONNECTION = "nightday.connection"
"""Where a request's scope has its ``LongConnection``."""
SOCKETS = "/live/"
"""What the path of a WebSocket begins with. Elsewhere the wish for one is passed over, as HTTP has it."""


# Bytes that the kernel keeps for a WebSocket's client; it takes twice as many.
SEND_BUFFER = 256 * 1024
# How long a client that is answered while it still sends may go on: seconds, and bytes.
LINGER = 1.0
MOST_PASSED_OVER = 1024 * 1024


class LongConnection(Protocol):
    """A connection that may outlast the time limit of the others."""

    def stay(self) -> None:
        """Lift the limits on how long it lasts."""
        ...

    def shutdown(self) -> None:
        """Cut it off."""
        ...


def connection_types(time_limit: float, most: int) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """Uvicorn's HTTP/1.1 and WebSocket protocols, whose connections last ``time_limit`` seconds, ``most`` at once."""
    opened: dict[Connection, None] = {}  # the oldest first

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._lingering = _Lingering(transport, self)
            super().connection_made(self._lingering)  # type: ignore[arg-type]
            self._end = self.loop.call_later(time_limit, cut_off, transport)
            self.app = _with(self, self.app)
            opened[self] = None
            if len(opened) > most:
                oldest = next(iter(opened))
                del opened[oldest]  # now, because its `connection_lost` comes later
                cut_off(oldest.transport)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                self._lingering.pass_over(data)
            else:
                super().data_received(data)

        def _should_upgrade(self) -> bool:
            return str(self.scope["path"]).startswith(SOCKETS) and self._get_upgrade() == b"websocket"

        def connection_lost(self, exc: Exception | None) -> None:
            self.stay()
            super().connection_lost(exc)

        def stay(self) -> None:
            self._end.cancel()
            opened.pop(self, None)

        def shutdown(self) -> None:
            self.transport.abort()

    class Socket(WSProtocol):
        """A WebSocket, which takes the place of the connection that it was asked for on."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # What waits in the kernel makes a slow viewer's picture old, and cannot be skipped.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            before = transport.get_protocol()
            assert isinstance(before, Connection)
            self._before = before
            self.app = _with(before, self.app)

        def connection_lost(self, exc: Exception | None) -> None:
            self._before.stay()
            super().connection_lost(exc)

        def handle_ping(self, event: Ping) -> None:
            if self.writable.is_set():  # answers that nobody takes would pile up
                super().handle_ping(event)

    return Connection, Socket


class _Lingering:
    """A connection's transport, which is closed only once the client has seen the answer.

    When a socket is closed while its client still sends, the kernel tells the client that the connection was reset,
    and the answer is lost.
    """

    def __init__(self, transport: asyncio.Transport, connection: H11Protocol) -> None:
        self._transport = transport
        self._connection = connection
        self._closing = False
        self._passed_over = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        if self._connection.conn.their_state in (h11.SEND_BODY, h11.ERROR):
            self._transport.write_eof()
            self._transport.resume_reading()
            self._connection.loop.call_later(LINGER, self._transport.close)
        else:
            self._transport.close()

    def pass_over(self, data: bytes) -> None:
        """Take what comes after the answer."""
        self._passed_over += len(data)
        if self._passed_over > MOST_PASSED_OVER:
            self._transport.close()


def _with(connection: LongConnection, app: Any) -> Any:
    """``app``, told of its connection."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, CONNECTION: connection}, receive, send)

    return told


def cut_off(transport: asyncio.Transport) -> None:
    """Close a connection at once, and without lingering: the kernel would keep megabytes that nobody reads."""
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()
