"""A run that tells a broker, and the rules of Home Assistant's device discovery, written down apart."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

import numpy as np

from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.events import Event, EventBus, Notice
from nightday.pipeline.core.status import NewestPicture
from nightday.pipeline.monitoring.notify.notifications import Notifications
from tests.support.media_helpers import Events
from tests.support.mosquitto import Mosquitto
from tests.support.rtsp_server import WAIT
from tests.support.watched import FakeRun


def picture(grey: int, at: float, size: tuple[int, int] = (48, 64)) -> NewestPicture:
    rgb = np.full((*size, 3), grey, np.uint8)
    return NewestPicture(rgb, rgb, Fraction(1), at)


class Home:
    """A run with a camera ``gate``, told to a broker. What it says of itself is in ``told``.

    The camera delivers pictures and has a zone ``yard``.
    """

    def __init__(self, broker: Mosquitto, **mqtt: Any) -> None:
        self.told = Events()
        self.run = FakeRun(pictures={"gate": None})
        stats = self.run.stats["gate"]
        stats.set_up(True)
        stats.found.begin(["yard"], tracks=False)
        self.run.states["gate"] = {"translate": "night", "engine": "ready", "night": True, "light": "dark"}
        self.bus = EventBus(self.told)
        self.settings = {"host": "127.0.0.1", "port": broker.port} | mqtt
        self.notifications = Notifications(self.run, publish=self.bus.publish, clock=SystemClock())
        self.bus.subscribe(self.notifications.note)

    def serve(self, **mqtt: Any) -> None:
        self.settings |= mqtt
        camera = {"name": "gate", "url": "rtsp://10.0.0.5/s", "translate": "never"}
        settings = {key: value for key, value in self.settings.items() if value is not None}
        self.notifications.serve(Config.model_validate({"cameras": [camera], "mqtt": settings}))

    def serve_nothing(self) -> None:
        """A reload that wants no broker any more."""
        camera = {"name": "gate", "url": "rtsp://10.0.0.5/s", "translate": "never"}
        self.notifications.serve(Config.model_validate({"cameras": [camera]}))

    def happen(self, *details: object) -> None:
        for detail in details:
            self.publish(Notice(name="reloaded", detail=str(detail)))

    def publish(self, event: Event) -> None:
        self.bus.publish(event)

    def of(self, name: str) -> list[str]:
        return [one.detail for one in self.told if isinstance(one, Notice) and one.name == name]

    def wait_told(self, name: str, count: int = 1) -> str:
        self.told.wait_for(lambda _: len(self.of(name)) >= count)
        return self.of(name)[count - 1]

    def close(self) -> None:
        self.notifications.close(WAIT)


# What Home Assistant 2025.4 takes, by its documentation: https://www.home-assistant.io/integrations/mqtt/
_TOP = {
    "dev",
    "o",
    "cmps",
    "availability_topic",
    "payload_available",
    "payload_not_available",
    "state_topic",
    "qos",
}
_DEVICE = {"ids", "cns", "name", "mf", "mdl", "mdl_id", "sw", "hw", "sn", "sa", "via_device", "cu"}
_ORIGIN = {"name", "sw", "url"}
_COMMON = {"p", "unique_id", "name", "entity_category", "device_class", "icon", "enabled_by_default"}
_STATE = {"state_topic", "value_template"}
_COMPONENTS: dict[str, tuple[set[str], set[str]]] = {  # what is required, and what else is known
    "camera": ({"topic"}, {"image_encoding"}),
    "binary_sensor": ({"state_topic"}, _STATE | {"payload_on", "payload_off"}),
    "sensor": ({"state_topic"}, _STATE | {"unit_of_measurement", "state_class", "options"}),
    "select": ({"command_topic", "options"}, _STATE | {"command_template"}),
}
_DEVICE_CLASSES = {"binary_sensor": {"connectivity", "problem"}, "sensor": {"enum", "duration"}}


def check_discovery(topic: str, payload: bytes) -> dict[str, dict[str, Any]]:
    """The components of a device, once every rule holds."""
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
    told = json.loads(payload)
    assert set(told) <= _TOP
    assert set(told) >= {"dev", "o", "cmps"}
    assert set(told["dev"]) <= _DEVICE
    assert told["dev"]["ids"]
    assert all(isinstance(one, str) for one in told["dev"]["ids"])
    assert set(told["o"]) <= _ORIGIN
    assert told["o"]["name"]
    ids = []
    for key, component in told["cmps"].items():
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", key)
        required, others = _COMPONENTS[component["p"]]
        assert set(component) >= required | {"unique_id"}
        assert set(component) <= required | others | _COMMON
        assert not {"object_id", "default_entity_id"} & set(component)
        ids.append(component["unique_id"])
        if "device_class" in component:
            assert component["device_class"] in _DEVICE_CLASSES[component["p"]]
        if component.get("device_class") == "enum":
            assert component["options"]
            assert "state_class" not in component
            assert "unit_of_measurement" not in component
        assert component.get("entity_category") in (None, "config", "diagnostic")
        if component["p"] == "sensor":
            assert component.get("entity_category") != "config"
        for name, value in component.items():
            if name.endswith("topic"):
                assert value
                assert not set("+#\0") & set(value)
    assert len(set(ids)) == len(ids)
    components: dict[str, dict[str, Any]] = told["cmps"]
    return components
