"""An event as whoever is outside gets it: a JSON object, without secrets."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ...core.camera_url import redact
from ...core.event_log import level_of, name_of, text_of
from ...core.events import Event

# Characters of one text: a server may have written it.
LONGEST = 2000
# Values of events that are told otherwise, or mean something within the program alone.
_TOLD = ("camera", "name", "level", "retry_at")


Origin = tuple[str, int]
"""The journal of a cluster's node that an event comes from, and its number there."""


@dataclass(frozen=True, slots=True)
class Message:
    """What happened, before it has a number.

    Attributes:
        event: what it is called.
        camera: whose it is; None for the whole program.
        body: a JSON object: ``time``, ``event``, ``level``, ``camera``, ``message`` and the event's own values.
        number: the number that it is to have in a spool; None is the next.
        origin: where it comes from, if from a node; a spool takes it once.
    """

    event: str
    camera: str | None
    body: str
    number: int | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that waits to be sent.

    Attributes:
        number: its place in the order of all, from 1.
        event, camera: see ``Message``.
        payload: the JSON object as it is sent: ``id`` and ``number``, and ``Message.body``.
    """

    number: int
    event: str
    camera: str | None
    payload: str

    @property
    def data(self) -> bytes:
        """The payload in UTF-8."""
        return self.payload.encode()


def message_of(
    event: Event,
    time: float,
    *,
    node: str | None = None,
    number: int | None = None,
    origin: Origin | None = None,
) -> Message:
    """What is told of an event that happened at ``time``, in Unix seconds, on a cluster's ``node`` if on one.

    ``number`` and ``origin`` are those of the message.
    """
    name, text = name_of(event), text_of(event)
    values = {
        field.name: getattr(event, field.name)
        for field in dataclasses.fields(event)
        if field.name not in _TOLD and getattr(event, field.name) is not None
    }
    if values.get("detail") in ("", text):
        del values["detail"]
    told = {
        "time": datetime.fromtimestamp(time, timezone.utc).isoformat(timespec="milliseconds"),
        "event": name,
        "level": logging.getLevelName(level_of(event)).lower(),
        "camera": event.camera,
        **({} if node is None else {"node": node}),
        "message": text,
        **values,
    }
    return Message(name, event.camera, json.dumps(_plain(told), ensure_ascii=False), number, origin)


def late(message: StoredMessage, journal: str) -> Message:
    """What a node could not tell while it ran, out of its ``journal``, as it is told afterwards."""
    told = {key: value for key, value in json.loads(message.payload).items() if key not in ("id", "number")}
    body = json.dumps({**told, "late": True}, ensure_ascii=False)
    return Message(message.event, message.camera, body, origin=(journal, message.number))


def stored(spool: str, number: int, message: Message) -> StoredMessage:
    """A message with its number, and an id that no other has in any spool."""
    head = json.dumps({"id": f"{spool}-{number}", "number": number})
    return StoredMessage(number, message.event, message.camera, f"{head[:-1]}, {message.body[1:]}")


def _plain(value: object) -> object:
    if isinstance(value, (str, Path)):
        return redact(str(value)[: 4 * LONGEST])[:LONGEST]
    if isinstance(value, Mapping):
        return {str(_plain(str(key))): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
