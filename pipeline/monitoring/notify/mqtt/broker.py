"""One connection to a broker, for one thread, in paho's own words and errors in ours.

paho reads and writes its socket only when it is told to, so no other thread has a part in it. What is in its memory
dies with it, and that a message arrived is told by its acknowledgement alone: what ``publish`` returns says nothing.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from collections import deque
from contextlib import suppress
from typing import Literal, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ....config.notify import MqttConfig
from ....core.clock import Clock

# Seconds that connecting may take, and a broker may take to answer; and without a packet, after which it is asked.
CONNECT_WITHIN, KEEP_ALIVE = 5.0, 30
# Messages that are on their way at once, as brokers allow at the least by default.
WINDOW = 20
# Bytes of a packet that the broker may send; commands are a word.
LARGEST_COMMAND = 4096
# Commands that may wait for this program.
MOST_COMMANDS = 100

Protocol = Literal["5", "3.1.1"]
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
# Reason codes, as MQTT 5 numbers them.
_BAD_LOGIN, _NOT_AUTHORISED, _UNSUPPORTED_VERSION, _TAKEN_OVER = 0x86, 0x87, 0x84, 0x8E
# Those of an acknowledgement that mean later rather than never: unspecified, specific to this broker, quota exceeded.
_LATER = (0x80, 0x83, 0x97)
_WORDS = {
    _BAD_LOGIN: "it refuses the login: user name or password is wrong",
    _NOT_AUTHORISED: "it refuses the login: set `username` and `password` of a user who may connect",
    _TAKEN_OVER: "another program has connected under the same client id",
}


class BrokerError(Exception):
    """There is no connection; the message says why, for the user.

    Attributes:
        protocol: whether the broker may not know this version of the protocol.
    """

    def __init__(self, why: str, *, protocol: bool = False) -> None:
        super().__init__(why)
        self.protocol = protocol


class Acknowledgement(NamedTuple):
    """What became of a message.

    Attributes:
        mid: what ``publish`` gave for it.
        refused: why the broker does not want it; "" where it has it.
    """

    mid: int
    refused: str


class Command(NamedTuple):
    """A message for this program.

    Attributes:
        topic: where it was published.
        payload: its bytes.
        retained: whether the broker had kept it from before.
    """

    topic: str
    payload: bytes
    retained: bool


class Broker:
    """A connection, to be opened once.

    Args:
        config: the broker.
        client_id: what it knows this program by.
        protocol: the version of MQTT.
        will: the topic at which the broker says ``offline`` when this program is gone.
        commands: what to subscribe to.
        clock: time.
    """

    def __init__(
        self,
        config: MqttConfig,
        *,
        client_id: str,
        protocol: Protocol,
        will: str,
        commands: str,
        clock: Clock,
    ) -> None:
        self._config = config
        self._commands_topic = commands
        self._protocol = protocol
        self._clock = clock
        self._lost: BrokerError | None = None
        self._connected = False
        self._selector = selectors.DefaultSelector()
        self.acknowledged: deque[Acknowledgement] = deque()
        """What has become of messages, to be taken from the left."""
        self.commands: deque[Command] = deque(maxlen=MOST_COMMANDS)
        """What came, to be taken from the left."""
        self.largest: int | None = None
        """The bytes of the largest packet that the broker takes; None if it does not say."""
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=_VERSIONS[protocol],
            clean_session=True if protocol == "3.1.1" else None,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = CONNECT_WITHIN
        self._client.max_inflight_messages_set(WINDOW)
        self._client.will_set(will, "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        if config.username is not None:
            password = None if config.password is None else config.password.get_secret_value()
            self._client.username_pw_set(config.username, password)

    def open(self, waker: socket.socket, cancelled: threading.Event) -> None:
        """Connect, and wait until the broker has taken that. Raises BrokerError.

        Args:
            waker: what ends a ``wait`` when it can be read.
            cancelled: ends it.
        """
        host, port = self._config.address
        properties = None
        if self._protocol == "5":
            properties = Properties(PacketTypes.CONNECT)
            properties.MaximumPacketSize = LARGEST_COMMAND
        try:
            if self._config.tls:
                ca = None if self._config.ca is None else str(self._config.ca)
                self._client.tls_set_context(ssl.create_default_context(cafile=ca))
            self._client.connect(host, port, KEEP_ALIVE, properties=properties)
        except (OSError, ValueError) as error:
            why = _why(error)
            if self._config.tls and isinstance(error, ConnectionResetError):
                why = "no TLS there: it closes the connection"
            raise BrokerError(why) from None
        sock = self._client.socket()
        assert sock is not None
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(waker, selectors.EVENT_READ, "waker")
        self._selector.register(sock, selectors.EVENT_READ, "socket")
        deadline = self._clock.monotonic() + CONNECT_WITHIN
        while not self._connected:
            left = deadline - self._clock.monotonic()
            if left <= 0 or cancelled.is_set():
                raise BrokerError("it does not answer")
            self.wait(left)
        self._client.subscribe(self._commands_topic, qos=1)

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """Send a message; what its acknowledgement will be known by."""
        return self._client.publish(topic, payload, qos=1, retain=retain).mid

    def wait(self, seconds: float) -> None:
        """Read and write until something was done, the waker woke it, or ``seconds`` have passed.

        Raises BrokerError when the connection is lost.
        """
        self._check()
        sock = self._client.socket()
        assert sock is not None
        writing = selectors.EVENT_WRITE if self._client.want_write() else 0
        self._selector.modify(sock, selectors.EVENT_READ | writing, "socket")
        # Bytes that TLS has decrypted already make no socket readable.
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        ready = self._selector.select(0 if pending else max(seconds, 0.0))
        for key, events in ready:
            if key.data == "waker":
                assert isinstance(key.fileobj, socket.socket)
                with suppress(BlockingIOError):
                    key.fileobj.recv(4096)
            elif events & selectors.EVENT_WRITE:
                self._client.loop_write()
        if pending or any(key.data == "socket" and events & selectors.EVENT_READ for key, events in ready):
            self._client.loop_read()
        self._client.loop_misc()
        self._check()

    def close(self, *, politely: bool) -> None:
        """End; ``politely`` has the broker not say that this program is gone."""
        if politely:
            with suppress(OSError, ValueError):
                self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.close()
        self._selector.close()

    def _check(self) -> None:
        if self._lost is None and self._client.socket() is None:
            self._lost = BrokerError("the connection was lost")
        if self._lost is not None:
            raise self._lost

    # paho gives these in any order of arguments it likes; their names are its own.

    def _on_connect(
        self,
        _: paho.Client,
        __: object,
        ___: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            why = _WORDS.get(reason.value, f"it refuses the connection: {reason}")
            self._lost = BrokerError(why, protocol=reason.value == _UNSUPPORTED_VERSION)
            return
        self._connected = True
        self.largest = getattr(properties, "MaximumPacketSize", None)

    def _on_disconnect(
        self,
        _: paho.Client,
        __: object,
        ___: paho.DisconnectFlags,
        reason: ReasonCode,
        ____: Properties | None,
    ) -> None:
        if self._lost is not None:
            return
        if not self._connected:
            tls = "" if self._config.tls else "; perhaps it wants `tls: true`"
            self._lost = BrokerError(f"it closes the connection without an answer{tls}", protocol=True)
        elif reason.value == _TAKEN_OVER:
            self._lost = BrokerError(_WORDS[_TAKEN_OVER])
        else:
            self._lost = BrokerError(f"the connection was lost ({reason})")

    def _on_publish(
        self, _: paho.Client, __: object, mid: int, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure and reason.value in _LATER:
            self._lost = BrokerError(f"it does not take messages: {reason}")
        else:
            self.acknowledged.append(Acknowledgement(mid, str(reason) if reason.is_failure else ""))

    def _on_message(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        self.commands.append(Command(message.topic, bytes(message.payload), message.retain))


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; give the one that signed it as `ca`"
    if isinstance(error, ssl.SSLError):
        return f"no TLS there: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
