"""A network that misbehaves on demand: a TCP proxy between a camera's reader and a real RTSP server.

RTSP over TCP carries text messages and, between them, RTP in ``$`` frames. The proxy reads both, so that it can
damage the pictures alone and leave the conversation whole. The server builds its ``Content-Base`` and ``RTP-Info``
from the address it was asked for, which is the proxy's; so clients stay with the proxy.

    python -m tests.faults.proxy PORT

runs one for whoever measures memory: it prints its own port, cuts all connections for each line ``fin`` or ``rst`` on
stdin, says so, and ends with stdin. ``ProxyProcess`` starts it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

RTP_HEADER = 12  # bytes that a damaged packet keeps, so that it stays in its place
SLICE = 0.02  # seconds of data that go at once through a throttled connection
AHEAD = 64  # messages on their way in a delayed connection
ASKED = 16_384  # bytes of what a client sends that are kept
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to what a server sends. The default is nothing.

    Attributes:
        delay: seconds until each message goes on.
        rate: bytes a second at most; None for no limit. TCP holds the rest back.
        corrupt: share of the bytes that are replaced by random ones, 0 to 1.
        what: ``rtp`` damages only what RTP packets carry, ``all`` every byte, RTSP's own messages included.
        stalled: nothing flows in either direction, but the connection stays open.
    """

    delay: float = 0.0
    rate: float | None = None
    corrupt: float = 0.0
    what: Literal["rtp", "all"] = "rtp"
    stalled: bool = False


@dataclass(slots=True, eq=False)
class Link:
    """One client's connection.

    Attributes:
        number: 0 for the first since the proxy began.
        accepted_at: when it was accepted (monotonic seconds).
        fault: what is done to it now.
        received: bytes that came from the server.
        sent: bytes that went on to the client.
        asked: what the client has sent, as far as the first ``ASKED`` bytes.
        is_open: whether it has not ended.
    """

    number: int
    accepted_at: float
    fault: Fault
    received: int = 0
    sent: int = 0
    asked: bytes = b""
    is_open: bool = True
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Listens on a free loopback port and passes everything to ``port``; a context manager.

    Args:
        port: the server's port on 127.0.0.1. Nobody needs to listen there yet.
        seed: of the damage; drawn, and to be printed by the test, if not given.
    """

    def __init__(self, port: int, *, seed: int | None = None) -> None:
        self.seed = random.randrange(2**32) if seed is None else seed
        self.links: list[Link] = []
        """Every connection that was ever accepted, oldest first."""
        self.messages: deque[str] = deque(maxlen=100)
        """The heads of the last RTSP messages of servers, undamaged."""
        self._target = port
        self._rng = np.random.default_rng(self.seed)
        self._fault = Fault()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._numbers = itertools.count()
        self._socket = _bound(0)
        self.port = self._socket.getsockname()[1]

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._socket.close()

    def url(self, path: str, *, login: str = "") -> str:
        """The address of ``path`` by way of the proxy."""
        return f"rtsp://{login + '@' if login else ''}127.0.0.1:{self.port}{path}"

    @property
    def open_links(self) -> list[Link]:
        """The connections that have not ended."""
        return [link for link in self.links if link.is_open]

    @property
    def received(self) -> int:
        """Bytes that came from the server, over all connections."""
        return sum(link.received for link in self.links)

    def set(self, fault: Fault, *, link: Link | None = None) -> None:
        """Do ``fault`` to one connection or, by default, to all there are and all to come."""

        async def change() -> None:
            if link is None:
                self._fault = fault
            for each in self.links if link is None else (link,):
                each.fault = fault
                changed, each._changed = each._changed, asyncio.Event() if each.is_open else _ENDED
                changed.set()

        self._do(change())

    def cut(self, how: Literal["fin", "rst"] = "rst", *, link: Link | None = None) -> int:
        """End one connection or all: ``fin`` as a server that closes, ``rst`` as one that died. Their number."""

        async def end() -> int:
            ended = self.open_links if link is None else [link]
            for each in ended:
                _end(each, how)
            return len(ended)

        return self._do(end())

    def refuse(self) -> None:
        """Refuse connections from now on; those there are stay. The port remains the proxy's."""
        self._do(self._stop_listening())
        self._socket = _bound(self.port)

    def accept(self) -> None:
        """Take connections again."""
        self._do(self._listen())

    def outage(self) -> None:
        """Refuse connections and cut those there are."""
        self.refuse()
        self.cut()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._socket)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._stop_listening()
        for link in self.open_links:
            _end(link, "rst")
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(next(self._numbers), time.monotonic(), self._fault, _writers=[writer])
        self.links.append(link)
        tasks: list[asyncio.Task[None]] = []
        try:
            await _while(link, lambda fault: fault.stalled)
            server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            link._writers.append(to_server)
            tasks = [
                asyncio.ensure_future(self._to_server(link, reader, to_server)),
                asyncio.ensure_future(self._to_client(link, server, writer)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):  # asyncio would log that it was cancelled
            pass
        finally:
            for task in tasks:
                task.cancel()
            _end(link, "fin")

    async def _to_server(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                link.asked = (link.asked + data)[:ASKED]
                await _while(link, lambda fault: fault.stalled)
                writer.write(data)
                await writer.drain()

    async def _to_client(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        coming: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(AHEAD)

        async def read() -> None:
            with suppress(OSError, asyncio.IncompleteReadError):
                async for is_rtp, message in _messages(reader):
                    link.received += len(message)
                    if not is_rtp and not message.startswith(b"$"):
                        self.messages.append(message.split(b"\r\n\r\n")[0].decode("latin-1"))
                    await _while(link, lambda fault: fault.stalled)
                    damaged = self._damage(message, is_rtp, link.fault)
                    await coming.put((time.monotonic() + link.fault.delay, damaged))
            await coming.put(None)

        reading = asyncio.ensure_future(read())
        try:
            with suppress(OSError):
                while (item := await coming.get()) is not None:
                    due, message = item
                    await asyncio.sleep(due - time.monotonic())
                    await self._send(link, writer, message)
        finally:
            reading.cancel()

    async def _send(self, link: Link, writer: asyncio.StreamWriter, message: bytes) -> None:
        while message:
            await _while(link, lambda fault: fault.stalled)
            rate = link.fault.rate
            size = len(message) if rate is None else max(1, round(rate * SLICE))
            part, message = message[:size], message[size:]
            writer.write(part)
            await writer.drain()
            link.sent += len(part)
            if rate is not None:
                await asyncio.sleep(len(part) / rate)

    def _damage(self, message: bytes, is_rtp: bool, fault: Fault) -> bytes:
        if not fault.corrupt or (fault.what == "rtp" and not is_rtp):
            return message
        first = 4 + RTP_HEADER if fault.what == "rtp" else 0
        data = np.frombuffer(message, np.uint8).copy()
        hit = np.flatnonzero(self._rng.random(len(data)) < fault.corrupt)
        hit = hit[hit >= first]
        data[hit] = self._rng.integers(0, 256, len(hit))
        broken: bytes = data.tobytes()
        return broken


class ProxyProcess:
    """A proxy to ``port`` in a process of its own, whose records are not the caller's; a context manager."""

    def __init__(self, port: int) -> None:
        self._command = [sys.executable, "-m", "tests.faults.proxy", str(port)]

    def __enter__(self) -> ProxyProcess:
        self._process = subprocess.Popen(
            self._command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._heard())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its stdin, which ends it

    def url(self, path: str) -> str:
        """The address of ``path`` by way of the proxy."""
        return f"rtsp://127.0.0.1:{self.port}{path}"

    def cut(self, how: Literal["fin", "rst"]) -> int:
        """End all connections, as ``Proxy.cut`` does; their number."""
        assert self._process.stdin is not None
        self._process.stdin.write(how + "\n")
        self._process.stdin.flush()
        return int(self._heard())

    def _heard(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def main() -> None:
    """Be a proxy until stdin ends."""
    with Proxy(int(sys.argv[1])) as proxy:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            print(proxy.cut("fin" if line.strip() == "fin" else "rst"), flush=True)


_ENDED = asyncio.Event()


def _bound(port: int) -> socket.socket:
    """A socket that holds ``port``; connections to it are refused until it listens."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _end(link: Link, how: Literal["fin", "rst"]) -> None:
    link.is_open = False
    for writer in link._writers:
        connection = writer.get_extra_info("socket")
        if how == "rst" and connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        (writer.transport.abort if how == "rst" else writer.close)()
    link._writers.clear()  # links are kept, what is theirs need not be
    link._changed.set()
    link._changed = _ENDED


async def _while(link: Link, waits: Callable[[Fault], bool]) -> None:
    """Wait for as long as the connection's fault says so. Raises ConnectionAbortedError once it has ended."""
    while link.is_open and waits(link.fault):
        await link._changed.wait()
    if not link.is_open:
        raise ConnectionAbortedError


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bool, bytes]]:
    """What a server sends, message by message, and whether each is RTP (of an even channel)."""
    while first := await reader.read(1):
        if first == b"$":
            head = await reader.readexactly(3)
            channel, length = struct.unpack(">BH", head)
            yield channel % 2 == 0, first + head + await reader.readexactly(length)
            continue
        text = first + await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in text.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        yield False, text + await reader.readexactly(length)


if __name__ == "__main__":
    main()
