"""Events to a web address: one POST each, signed.

The signature is that of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over ``id.timestamp.body``, so that
whoever receives it can check with a library of theirs that it comes from here and was not sent before.
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
import hmac
import http.client
import re
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from nightday.engines.distribution import program_version

from ...config.notify import WebhookConfig
from ...core.backoff import Backoff
from .message import StoredMessage
from .sink import SendingFailedError, SimpleSink, Surroundings

# Seconds that connecting, or any one read or write, may take; and a whole request.
TIMEOUT, WHOLE_REQUEST = 10.0, 20.0
# Bytes of an answer that are read; what is longer ends the connection.
MOST_ANSWER = 64 * 1024
# Answers that ask for another try later, besides all of 5xx: timed out, too early, too many requests.
_LATER = (408, 425, 429)
# Most seconds that a server may ask to be left alone.
MOST_WAIT = 600.0
# Seconds between two notices that a server refuses events.
NOTICE_EVERY = 600.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: float | None


class WebhookSink(SimpleSink):
    """Posts each message to an address, and again until it is taken (2xx) or refused for good (3xx, 4xx).

    Redirects are not followed, since the address may be a secret.

    Args:
        config: the entry of ``webhooks``.
        around: see ``Sink``.
        backoff: the time between tries.
    """

    def __init__(self, config: WebhookConfig, *, around: Surroundings, backoff: Backoff = Backoff()) -> None:  # noqa: B008 - a value
        super().__init__(
            reader_of(config),
            target=str(config.url),
            events=config.events,
            around=around,
            backoff=backoff,
        )
        self._address = urlsplit(config.url.reveal())
        self._secret = key_of(config.secret) if config.secret is not None else None
        self._tls = ssl.create_default_context() if self._address.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        self._noticed: float | None = None

    def send(self, messages: list[StoredMessage]) -> int:
        """See ``SimpleSink``."""
        message = messages[0]
        try:
            answer = self._post(message)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise SendingFailedError(_why(error)) from None
        if answer.status >= 500 or answer.status in _LATER:
            if answer.retry_after:
                self._clock.wait(self._finishing, min(answer.retry_after, MOST_WAIT))
            raise SendingFailedError(f"it answers {_status(answer.status)}")
        if answer.status >= 300:
            self._refused(message, answer.status)
        return 1

    def close(self) -> None:
        """See ``SimpleSink``."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, message: StoredMessage) -> _Answer:
        """Post over the connection that is open; if the server has closed that meanwhile, over a new one."""
        used = self._connection is not None
        try:
            return self._post_once(message)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()
            if not used:
                raise
            return self._post_once(message)

    def _post_once(self, message: StoredMessage) -> _Answer:
        connection = self._connection = self._connection or self._connected()
        sock = connection.sock
        assert sock is not None
        # A server that sends a byte now and then never meets the timeout of a read.
        timer = threading.Timer(WHOLE_REQUEST, _cut, (sock,))
        timer.daemon = True
        timer.start()
        try:
            target = self._address.path or "/"
            if self._address.query:
                target += f"?{self._address.query}"
            connection.request("POST", target, message.data, self._headers(message))
            answer = connection.getresponse()
            whole = len(answer.read(MOST_ANSWER)) < MOST_ANSWER
        finally:
            timer.cancel()
        if answer.will_close or not whole:
            self.close()
        return _Answer(answer.status, _retry_after(answer.getheader("Retry-After"), self._clock.time()))

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        connection.connect()
        return connection

    def _headers(self, message: StoredMessage) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"nightday-stream/{program_version().split()[0]}",
            "webhook-id": f"{self._spool.id}-{message.number}",
        }
        if self._address.username is not None:
            login = f"{unquote(self._address.username)}:{unquote(self._address.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        if self._secret is not None:
            at = str(int(self._clock.time()))
            headers["webhook-timestamp"] = at
            headers["webhook-signature"] = signature(self._secret, headers["webhook-id"], at, message.data)
        return headers

    def _refused(self, message: StoredMessage, status: int) -> None:
        """Say that an event was given up, but not for each of many."""
        now = self._clock.monotonic()
        if self._noticed is None or now - self._noticed >= NOTICE_EVERY:
            self._noticed = now
            why = (
                "redirects elsewhere; give the new address" if status < 400 else f"answers {_status(status)}"
            )
            self._tell(
                "notify_refused",
                f"{self.target} refuses {message.event}, which is given up: it {why}",
                warning=True,
            )


def reader_of(config: WebhookConfig) -> str:
    """A webhook's name in the spool; the address itself may be a secret."""
    return f"webhook-{hashlib.sha256(config.url.reveal().encode()).hexdigest()[:16]}"


def key_of(secret: SecretStr) -> bytes:
    """The bytes a secret stands for: those behind ``whsec_`` in Base64, else the text's own."""
    text = secret.get_secret_value()
    if text.startswith("whsec_"):
        with suppress(binascii.Error):
            return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    return text.encode()


def signature(key: bytes, identifier: str, timestamp: str, body: bytes) -> str:
    """``v1,`` and the HMAC-SHA256 of ``id.timestamp.body`` in Base64."""
    signed = f"{identifier}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds that ``Retry-After`` asks for, which is a number or a date."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _status(status: int) -> str:
    words = http.client.responses.get(status)
    return f"{status} {words}" if words else str(status)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")
