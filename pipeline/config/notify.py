"""``events``, ``webhooks`` and ``mqtt``: where what happens is told, and how."""

from __future__ import annotations

import base64
import binascii
import difflib
import importlib.util
import ipaddress
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nightday.engines.distribution import INSTALL_MQTT

from ..core.camera_url import PORT_FAULT, CameraUrl, register_secret
from ..core.event_log import EVENT_NAMES
from .fields import Certificate, Count, Number, Seconds, check_folder, fail, require_path, require_text
from .section import Section

MOST_WEBHOOKS = 32
SHORTEST_SECRET = 16
"""Characters of a webhook's secret."""
# Characters of a webhook's path from which on it is taken for a secret, as that of many services is.
_SECRET_PATH = 12
# Parts of a topic; Home Assistant takes no other signs in the name of a device.
_TOPIC = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_BROKER_SCHEMES = ("mqtt", "mqtts")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")


def _event(value: object) -> str:
    pattern = require_text(value, what="the name of an event, such as night_began or camera_*")
    if not any(fnmatchcase(name, pattern) for name in EVENT_NAMES):
        close = difflib.get_close_matches(pattern[:64].lower(), sorted(EVENT_NAMES), n=1, cutoff=0.6)
        hint = f'did you mean "{close[0]}"?' if close else "docs/operating.md lists them"
        fail(f"no event is called so; {hint}")
    return pattern


def _at_least_one(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not patterns:
        fail("is empty; leave it out, and all events are sent")
    return patterns


def _few_enough(webhooks: tuple[WebhookConfig, ...]) -> tuple[WebhookConfig, ...]:
    if len(webhooks) > MOST_WEBHOOKS:
        fail(f"has {len(webhooks)} entries, more than the {MOST_WEBHOOKS} that are taken")
    return webhooks


def _host(value: object) -> str:
    host = require_text(value, what="the broker's host name or address")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if _HOST_NAME.fullmatch(host):
            return host
        fail("is no host; give its name or address alone, such as 10.0.0.2, and the port below it as `port:`")
    return host


def _address(value: object, *, what: str) -> CameraUrl:
    return value if isinstance(value, CameraUrl) else CameraUrl(require_text(value, what=what))


def _parts_of(url: CameraUrl) -> SplitResult:
    """The parts of an address, which has a host and, if any, a usable port."""
    try:
        parts = urlsplit(url.reveal())
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        fail("has no host")
    if not url.port_is_usable:
        fail(f"has {PORT_FAULT}")
    return parts


def _broker_address(value: object) -> CameraUrl:
    url = _address(value, what="the broker's address")
    if url.scheme not in _BROKER_SCHEMES:
        fail("must begin with mqtt://, or mqtts:// for TLS")
    parts = _parts_of(url)
    if parts.path.strip("/") or parts.query or parts.fragment:
        fail("holds more than host, port and login; what topics begin with is `topic_prefix`")
    return url


def _of_broker_address(url: CameraUrl) -> dict[str, Any]:
    """The keys that an address stands for."""
    parts = urlsplit(url.reveal())
    found: dict[str, Any] = {"host": parts.hostname, "tls": url.scheme == "mqtts"}
    if parts.port is not None:
        found["port"] = parts.port
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password:
        found["password"] = unquote(parts.password)
    return found


def _topic(value: object) -> str:
    topic = require_text(value, what="text (put it in quotes)")
    if len(topic) > 100 or not _TOPIC.fullmatch(topic):
        fail(
            "must be 1 to 100 letters, digits, - and _, with / between parts, such as nightday or home/nightday"
        )
    return topic


def _text(value: object) -> str:
    return require_text(value, what="text (put it in quotes)")


def _password(value: object) -> SecretStr:
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    text = require_text(given, what="text (put it in quotes)")
    register_secret(text)
    return SecretStr(text)


def _secret(value: object) -> SecretStr:
    secret = _password(value)
    text = secret.get_secret_value()
    if len(text) < SHORTEST_SECRET:
        fail(f"must be {SHORTEST_SECRET} or more characters; make one with: openssl rand -hex 32")
    if text.startswith("whsec_"):
        try:
            base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            fail("must be Base64 behind whsec_; make it with: echo whsec_$(openssl rand -base64 32)")
    return secret


def _web_address(value: object) -> CameraUrl:
    url = _address(value, what="a web address")
    if url.scheme not in ("http", "https"):
        fail("must be a web address, such as https://example.org/events")
    parts = _parts_of(url)
    if len(parts.path) > _SECRET_PATH:
        register_secret(parts.path.strip("/"))
    return url


def _written_file(value: object) -> Path:
    path = require_path(value)
    if path.is_dir():
        fail("is a folder; give a file in it")
    check_folder(path.parent)
    return path


EventPattern = Annotated[str, PlainValidator(_event)]
BrokerAddress = Annotated[CameraUrl, PlainValidator(_broker_address)]
Host = Annotated[str, PlainValidator(_host)]
Topic = Annotated[str, PlainValidator(_topic)]
Text = Annotated[str, PlainValidator(_text)]
Password = Annotated[SecretStr, PlainValidator(_password)]
Secret = Annotated[SecretStr, PlainValidator(_secret)]
WebAddress = Annotated[CameraUrl, PlainValidator(_web_address)]
WrittenFile = Annotated[Path, PlainValidator(_written_file)]
EventPatterns = Annotated[tuple[EventPattern, ...], AfterValidator(_at_least_one)]

ALL_EVENTS = ("*",)


class EventsConfig(Section):
    """``events``: events in a file, and where those wait that cannot be sent yet.

    Attributes:
        file: the file, a JSON object a line.
        megabytes: the size it keeps below; then it is put aside and a new one begun.
        keep: how many that were put aside stay.
        spool: the SQLite file in which events wait; by default in the program's state folder.
    """

    file: WrittenFile | None = None
    megabytes: Annotated[Number, Field(gt=0, le=100_000)] = 10.0
    keep: Count = Field(default=5, ge=0, le=1000)
    spool: WrittenFile | None = None


class WebhookConfig(Section):
    """One entry of ``webhooks``.

    Attributes:
        url: where each event is posted.
        secret: what its signature is made with; none is sent without.
        events: names of events, ``*`` stands for any characters.
    """

    url: WebAddress
    secret: Secret | None = None
    events: EventPatterns = ALL_EVENTS


Webhooks = Annotated[tuple[WebhookConfig, ...], AfterValidator(_few_enough)]


class MqttConfig(Section):
    """``mqtt``: the broker that is told what happens and how the cameras are.

    Attributes:
        url: the broker, its port and the login in one; in place of the five keys that follow.
        host: the broker.
        port: 1883, or 8883 with TLS, where none is given.
        tls: whether the connection is encrypted.
        ca: the certificate, in PEM, that the broker's is checked by; those the system trusts by default.
        username, password: the login, if any.
        topic_prefix: what every topic begins with.
        discovery: whether Home Assistant is told of the cameras.
        discovery_prefix: what Home Assistant's discovery topics begin with.
        picture_every_s: seconds between two pictures of a camera.
        events: names of events, ``*`` stands for any characters.
    """

    url: BrokerAddress | None = None
    host: Host | None = None
    tls: bool = False
    port: Annotated[Count, Field(ge=1, le=65535)] | None = None
    ca: Certificate | None = None
    username: Text | None = None
    password: Password | None = None
    topic_prefix: Topic = "nightday"
    discovery: bool = True
    discovery_prefix: Topic = "homeassistant"
    picture_every_s: Annotated[Seconds, Field(ge=1)] = 10.0
    events: EventPatterns = ALL_EVENTS

    @model_validator(mode="before")
    @classmethod
    def _from_address(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("url") is None:
            return data
        try:
            url = _broker_address(data["url"])
        except PydanticCustomError:  # which is told once more, of the key itself
            return data
        found = _of_broker_address(url)
        twice = [key for key in ("host", "port", "tls", "username", "password") if key in data]
        if twice and any(data[key] != found.get(key) for key in twice):
            fail(f"has `url` and `{twice[0]}`, and an address says both; leave one of them out")
        return {**data, **found, "url": url}

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        assert self.host is not None
        return self.host, self.port or (8883 if self.tls else 1883)

    @model_validator(mode="after")
    def _has_a_broker(self) -> MqttConfig:
        if self.host is None:
            fail('has no broker; add `url: "mqtt://10.0.0.2:1883"`, or `host`')
        return self

    @field_validator("host")
    @classmethod
    def _can_be_reached(cls, value: str | None) -> str | None:
        if importlib.util.find_spec("paho") is None:
            fail(f"needs paho-mqtt; install it with: {INSTALL_MQTT}")
        return value

    @field_validator("ca")
    @classmethod
    def _is_used(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not info.data.get("tls"):
            fail("is used with TLS alone; add `tls: true` beside it")
        return value

    @field_validator("password")
    @classmethod
    def _has_a_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and info.data.get("username", "") is None:
            fail("needs a username beside it")
        return value
