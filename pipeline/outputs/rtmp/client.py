"""A small RTMP client that publishes one stream to a server (RTMP 1.0), over TCP or TLS.

It owns its socket, unlike FFmpeg's: through PyAV that one holds the interpreter's lock while a server is silent,
which stops every camera, and no timeout of PyAV's or FFmpeg's ends it.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ...core.camera_url import MASK, CameraUrl
from ...core.faults import OutputError, OutputReason
from ...core.host_names import not_resolved
from .amf import Value, decoded, encoded
from .chunks import (
    ACKNOWLEDGEMENT,
    CHUNK,
    COMMAND,
    SET_CHUNK_SIZE,
    USER_CONTROL,
    WINDOW,
    ChunkReader,
    Message,
    chunked,
)

PORTS = {"rtmp": 1935, "rtmps": 443}
VERSION = 3
HANDSHAKE = 1536  # bytes
NOT_RTMP = "what answers there is not an RTMP server; look at host and port"
_PING, _PONG = 6, 7

_REASONS: tuple[tuple[str, OutputReason], ...] = (
    ("NetStream.Publish.BadName", "unauthorised"),
    ("NetStream.Publish.Denied", "unauthorised"),
    ("NetConnection.Connect.InvalidApp", "not_found"),
    ("NetConnection.Connect.Rejected", "unauthorised"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a stream goes.

    Attributes:
        host: name or address.
        port: 1 to 65535.
        tls: whether the connection is encrypted.
        address: the server and the application, as the server is told them.
        application: the application, which may have several parts.
        key: the stream's name there, and what follows a ``?``: a secret.
    """

    host: str
    port: int
    tls: bool
    address: str
    application: str
    key: str = field(repr=False)

    @staticmethod
    def of(url: CameraUrl) -> Target:
        """What an address says. Raises ValueError with what is wrong with it and the way out, without the address."""
        form = "use rtmp(s)://host/app/key"  # of an address, everything behind app/ would be masked
        try:
            parts = urlsplit(url.reveal())
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"its host cannot be read; {form}") from None
        if not host:
            raise ValueError(f"no host; {form}")
        if "@" in parts.netloc:
            raise ValueError(
                "RTMP has no login; put it behind the key as the server wants it, e.g. ?user=…&pass=…"
            )
        application, _, key = parts.path.strip("/").rpartition("/")
        if not application or not key:
            raise ValueError(f"no application or no key; {form}")
        if parts.query:
            key = f"{key}?{parts.query}"
        scheme = parts.scheme.lower()
        shown = f"[{host}]" if ":" in host else host
        at = shown if port is None else f"{shown}:{port}"
        return Target(
            host, port or PORTS[scheme], scheme == "rtmps", f"{scheme}://{at}/{application}", application, key
        )


class RtmpPublication:
    """A connection that publishes a stream to a server; making it begins the stream.

    Args:
        target: where to.
        timeout: seconds the server may take to connect, to answer a command, and to take what ``send`` sends.
        context: what checks the server's certificate; by default the system's authorities do.

    Raises OutputError for a refusal and for a name that does not resolve, TimeoutError and OSError for the network.
    """

    def __init__(self, target: Target, *, timeout: float, context: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._timeout = timeout
        self._reader = ChunkReader()
        self._received = self._acknowledged = 0
        self._window = 2**20
        self._transaction = 0.0
        self._stream = 0
        try:
            self._socket = socket.create_connection((target.host, target.port), timeout=timeout)
        except (socket.gaierror, UnicodeError) as error:
            raise OutputError("unreachable", not_resolved(target.host, error)) from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.tls:
                context = context or ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=target.host)
            self._shake_hands()
            self._publish()
        except ssl.SSLCertVerificationError as error:
            self._socket.close()
            raise OutputError(
                "failed", f"its certificate is not to be trusted: {error.verify_message}"
            ) from None
        except ssl.SSLError as error:
            self._socket.close()
            raise OutputError("failed", f"TLS fails: {error.reason}; is it an rtmps:// server?") from None
        except ValueError:
            self._socket.close()
            raise OutputError("failed", NOT_RTMP) from None
        except BaseException:
            self._socket.close()
            raise

    def send(self, messages: list[Message]) -> None:
        """Send messages of the stream. Raises TimeoutError if the server does not take them all in time."""
        self.listen()
        data = b"".join(chunked(Message(one.kind, one.data, self._stream, one.time)) for one in messages)
        self._send(data)

    def listen(self) -> None:
        """Take what the server has sent since. Raises ConnectionError if it has hung up, OutputError for a no."""
        while True:
            self._socket.settimeout(0)
            try:
                data = self._socket.recv(65_536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            try:
                for message in self._take(data):
                    self._refuse_bad_status(message)
            except ValueError:
                raise OutputError("failed", NOT_RTMP) from None

    def close(self) -> None:
        """End the stream; does not wait for the server's answer."""
        try:
            self._socket.settimeout(0)
            unpublish = self._command("FCUnpublish", None, self._target.key)
            self._socket.send(unpublish + self._command("deleteStream", None, float(self._stream)))
        except (OSError, ValueError):
            pass
        finally:
            self._socket.close()

    def _shake_hands(self) -> None:
        deadline = time.monotonic() + self._timeout
        # Random bytes, but four of the time and four of zeros: the simple handshake, without Adobe's digests.
        self._send(bytes((VERSION,)) + struct.pack(">II", 0, 0) + os.urandom(HANDSHAKE - 8))
        answer = b""
        while len(answer) < 1 + 2 * HANDSHAKE:
            answer += self._receive(deadline, 1 + 2 * HANDSHAKE - len(answer))
            if answer[0] != VERSION:
                raise ValueError
        self._send(answer[1 : 1 + HANDSHAKE])

    def _publish(self) -> None:
        target, key = self._target, self._target.key
        self._send(chunked(Message(SET_CHUNK_SIZE, struct.pack(">I", CHUNK))))
        about: dict[str, Value] = {
            "app": target.application,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; nightday-stream)",
            "tcUrl": target.address,
        }
        self._ask("connect", about)
        for name in ("releaseStream", "FCPublish"):  # some servers want them, and answer or not
            self._send(self._command(name, None, key))
        (stream,) = self._ask("createStream", None)[:1] or [0]
        if not isinstance(stream, (int, float)) or not 0 < stream < 2**32:
            raise ValueError
        self._stream = int(stream)
        self._send(self._command("publish", None, key, "live", stream=self._stream))
        self._wait_for(lambda name, values: name == "onStatus" and _code(values) == "NetStream.Publish.Start")

    def _ask(self, name: str, *values: Value) -> list[Value]:
        """Send a command, and give the values of its answer after the first, which is about the command itself."""
        self._send(self._command(name, *values))
        number = self._transaction
        answer = self._wait_for(lambda name, values: name == "_result" and values[:1] == [number])
        return answer[2:]

    def _wait_for(self, wanted: Callable[[str, list[Value]], bool]) -> list[Value]:
        """The values of the first command that is ``wanted``. Raises OutputError for one that says no."""
        deadline = time.monotonic() + self._timeout
        while True:
            for message in self._take(self._receive(deadline)):
                self._refuse_bad_status(message)
                values = decoded(message.data) if message.kind == COMMAND else []
                if values and isinstance(values[0], str) and wanted(values[0], values[1:]):
                    return values[1:]

    def _refuse_bad_status(self, message: Message) -> None:
        if message.kind != COMMAND:
            return
        name, *values = decoded(message.data) or [""]
        code = _code(values)
        level = next((one.get("level") for one in values if isinstance(one, dict)), None)
        # Of releaseStream and FCPublish, which not every server knows, an error says nothing.
        if level != "error" and not (name == "_error" and values[:1] == [1.0]):
            return
        said = next((one.get("description") for one in values if isinstance(one, dict)), None)
        detail = f"the server refuses the stream: {said or code or 'it does not say why'}"
        reason: OutputReason = next((one for start, one in _REASONS if code.startswith(start)), "failed")
        raise OutputError(reason, detail.replace(self._target.key.partition("?")[0], MASK))

    def _take(self, data: bytes) -> list[Message]:
        """The messages that are complete with ``data``; answers those that want that."""
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._received += len(data)
        messages = self._reader.feed(data)
        for message in messages:
            if message.kind == WINDOW and len(message.data) >= 4:
                self._window = max(1024, int.from_bytes(message.data[:4], "big"))
            elif message.kind == USER_CONTROL and message.data[:2] == struct.pack(">H", _PING):
                self._send(chunked(Message(USER_CONTROL, struct.pack(">H", _PONG) + message.data[2:6])))
        if self._received - self._acknowledged >= self._window // 2:
            self._acknowledged = self._received
            self._send(chunked(Message(ACKNOWLEDGEMENT, struct.pack(">I", self._received & 0xFFFFFFFF))))
        return messages

    def _command(self, name: str, *values: Value, stream: int = 0) -> bytes:
        self._transaction += 1
        return chunked(Message(COMMAND, encoded(name, self._transaction, *values), stream))

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._timeout)
        self._socket.sendall(data)

    def _receive(self, deadline: float, most: int = 65_536) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server does not answer")
        self._socket.settimeout(left)
        data = self._socket.recv(most)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data


def _code(values: list[Value]) -> str:
    """What a server's answer says in a word; "" if it says none."""
    return next((str(one["code"]) for one in values if isinstance(one, dict) and "code" in one), "")
