"""Events as they are told, and that each kind has a name that the configuration knows."""

from __future__ import annotations

import itertools
import json
import typing
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from nightday.pipeline.core import events
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.event_log import EVENT_NAMES, name_of
from nightday.pipeline.core.events import (
    CountsChanged,
    EngineChanged,
    Event,
    FileFinished,
    NightChanged,
    Notice,
    SourceChanged,
)
from nightday.pipeline.monitoring.notify.message import LONGEST, message_of, stored

KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]


def examples(kind: type[Event]) -> list[Event]:
    """An event for each combination of the choices that its kind has."""
    hints = typing.get_type_hints(kind, vars(events))
    choices: dict[str, list[Any]] = {}
    for field in fields(kind):
        hint = hints[field.name]
        inner = [one for one in get_args(hint) if get_origin(one) is Literal]
        literal = hint if get_origin(hint) is Literal else inner[0] if inner else None
        if literal is not None:
            choices[field.name] = list(get_args(literal))
        elif hint is bool:
            choices[field.name] = [True, False]
        elif field.name == "zone":
            choices[field.name] = [None, "yard"]
        elif field.name == "counts":
            choices[field.name] = [{"car": 1}]
        elif hint is Path:
            choices[field.name] = [Path("out/a.mp4")]
        elif hint in (int, float):
            choices[field.name] = [1]
        elif field.name == "cameras":
            choices[field.name] = [("gate", "yard")]
        else:
            choices[field.name] = ["gate"]
    return [
        kind(**dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_has_a_known_name_and_is_told_as_json(kind: type[Event]) -> None:
    for event in examples(kind)[:3000]:
        if name_of(event) not in ("zone_appeared", "zone_gone", "object_entered", "object_left"):
            assert name_of(event) in EVENT_NAMES
        told = json.loads(message_of(event, 1_700_000_000.25).body)
        assert told["event"] == name_of(event)
        assert (told["camera"], told["time"]) == ("gate", "2023-11-14T22:13:20.250+00:00")
        assert told["level"] in ("debug", "info", "warning", "error")
        assert isinstance(told["message"], str)
        assert told["message"]


def test_all_known_names_are_those_of_events() -> None:
    assert {name_of(one) for kind in KINDS for one in examples(kind)} >= EVENT_NAMES


def test_an_events_own_values_are_told() -> None:
    def told(event: Event) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(message_of(event, 0.0).body)
        return {
            key: value for key, value in values.items() if key not in ("time", "level", "camera", "message")
        }

    assert told(NightChanged(camera="gate", night=True, luma=20.5, chroma=0.0)) == {
        "event": "night_began",
        "night": True,
        "luma": 20.5,
        "chroma": 0.0,
    }
    assert told(CountsChanged(camera="gate", zone="yard", counts={"car": 2}, at=5.0)) == {
        "event": "counts_changed",
        "zone": "yard",
        "counts": {"car": 2},
        "at": 5.0,
    }
    assert told(FileFinished(camera="gate", path=Path("out/a.mp4"))) == {
        "event": "file_finished",
        "path": "out/a.mp4",
    }
    assert told(EngineChanged(step="kept", cameras=("a", "b"), detail="x stays")) == {
        "event": "engine_kept",
        "step": "kept",
        "cameras": ["a", "b"],
    }
    # Seconds on a clock of the program's own say nothing outside.
    changed = SourceChanged(
        camera="gate", state="retrying", reason="timeout", detail="no answer", retry_at=12.0
    )
    assert told(changed) == {
        "event": "camera_retrying",
        "state": "retrying",
        "source": "",
        "reason": "timeout",
        "detail": "no answer",
    }


def test_secrets_are_masked_and_texts_bounded() -> None:
    CameraUrl("rtsp://viewer:hunter2222@10.0.0.5/s")
    detail = f"cannot open rtsp://viewer:hunter2222@10.0.0.5/s; hunter2222 {'x' * 10_000}"
    body = message_of(Notice(name="save_failed", detail=detail), 0.0).body
    assert "hunter2222" not in body
    assert len(json.loads(body)["message"]) == LONGEST


def test_a_stored_message_is_the_body_with_id_and_number() -> None:
    message = message_of(Notice(camera="gate", name="reloaded", detail='1 „camera“ "changed"'), 1.5)
    sent = stored("abc", 12, message)
    told = json.loads(sent.data)
    assert list(told)[:3] == ["id", "number", "time"]
    assert {**told} == {"id": "abc-12", "number": 12, **json.loads(message.body)}
    assert datetime.fromisoformat(told["time"]).timestamp() == 1.5
    assert (sent.number, sent.event, sent.camera) == (12, "reloaded", "gate")
