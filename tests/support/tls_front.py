"""TLS before a server that has none, on loopback, and certificates that nobody but a test trusts."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType


def certificate(path: Path, *, host: str = "IP:127.0.0.1") -> Path:
    """A certificate for ``host`` that is signed by itself, as cameras have it: ``path``, its key in it as well."""
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera", "-addext"]
    words = ["openssl", *made, f"subjectAltName={host}", "-keyout", str(path)]
    done = subprocess.run([*words, "-out", "-"], capture_output=True, timeout=60, check=True)
    path.write_bytes(path.read_bytes() + done.stdout)
    return path


class TlsFront:
    """Takes encrypted connections and passes on what comes to ``port``; a context manager.

    Args:
        port: of the server, on loopback.
        pem: certificate and key.
    """

    def __init__(self, port: int, pem: Path) -> None:
        self._behind = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> TlsFront:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._behind)
        with suppress(OSError):
            await asyncio.gather(_pump(client, to_server), _pump(server, to_client))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(2**16):
            target.write(data)
            await target.drain()
    finally:
        target.close()
