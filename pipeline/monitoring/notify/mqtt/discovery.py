"""What Home Assistant is told of a camera, so that it makes a device of it.

One unknown key at the top or in the device and it refuses all, so there are only those that all its versions with
device discovery know (2024.11 and later).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, get_args

from nightday.engines.distribution import DISTRIBUTION, program_version

from ....core.control import Translate
from ....core.status import Lit
from ..camera_facts import WHOLE_PICTURE, Place
from .camera_state import PICTURE
from .topics import Topics

# What a template gives for true and false; for null it gives None, which Home Assistant takes for unknown.
_ON_OFF = {"payload_on": "True", "payload_off": "False"}


def discovery_payload(topics: Topics, camera: str, places: Iterable[Place], *, can_translate: bool) -> bytes:
    """A camera as a device, with an entity for each thing that is told of it.

    Args:
        topics: where things are told.
        camera: its name.
        places: zones and classes whose objects are counted.
        can_translate: whether it has a model, so that translating can be switched.
    """
    node = topics.node(camera)
    components: dict[str, dict[str, Any]] = {
        "picture": {"p": "camera", "name": None, "topic": topics.picture(camera)},
        "connected": _binary("Connected", "connected", device_class="connectivity"),
        "night": _binary("Night", "night"),
        "light": _sensor("Light", "light", device_class="enum", options=list(get_args(Lit))),
        "fps": _diagnostic(
            _sensor("Frame rate", "fps", unit_of_measurement="fps", state_class="measurement")
        ),
        "latency": _diagnostic(
            _sensor(
                "Latency",
                "latency_ms",
                unit_of_measurement="ms",
                device_class="duration",
                state_class="measurement",
            )
        ),
        "other_scene": _diagnostic(_binary("Model of another scene", "other_scene", device_class="problem")),
        "moved": _diagnostic(_binary("Moved or refocused", "moved", device_class="problem")),
    }
    if can_translate:
        components["translate"] = {
            "p": "select",
            "name": "Translate",
            "command_topic": topics.translate(camera),
            "options": list(get_args(Translate)),
            "value_template": _value("translate"),
            "entity_category": "config",
        }
    for zone, label in sorted(places):
        name = f"{label} in {zone}" if zone != WHOLE_PICTURE else label
        components[f"count_{_slug(zone or PICTURE)}_{_slug(label)}"] = {
            "p": "sensor",
            "name": name[:1].upper() + name[1:],
            "state_class": "measurement",
            "value_template": _count(zone or PICTURE, label),
        }
    for key, component in components.items():
        component["unique_id"] = f"{node}-{key}"
        if component["p"] != "camera":
            component["state_topic"] = topics.state(camera)
    payload = {
        "dev": {
            "ids": [node],
            "name": camera,
            "mf": DISTRIBUTION,
            "mdl": "night camera as day",
            "sw": program_version(),
        },
        "o": {"name": DISTRIBUTION, "sw": program_version()},
        "availability_topic": topics.status,
        "cmps": components,
    }
    return json.dumps(payload, ensure_ascii=False).encode()


def _value(key: str) -> str:
    return f"{{{{ value_json.{key} }}}}"


def _count(zone: str, label: str) -> str:
    return f"{{{{ value_json.counts.get({json.dumps(zone)}, {{}}).get({json.dumps(label)}, 0) }}}}"


def _binary(name: str, key: str, **rest: Any) -> dict[str, Any]:
    return {"p": "binary_sensor", "name": name, "value_template": _value(key), **_ON_OFF, **rest}


def _sensor(name: str, key: str, **rest: Any) -> dict[str, Any]:
    return {"p": "sensor", "name": name, "value_template": _value(key), **rest}


def _diagnostic(component: dict[str, Any]) -> dict[str, Any]:
    return {**component, "entity_category": "diagnostic"}


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
