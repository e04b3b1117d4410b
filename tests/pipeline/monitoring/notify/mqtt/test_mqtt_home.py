"""What a real broker keeps for home automation, and the commands that come from there."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import pytest

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.control import Translate
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.events import (
    BackgroundChanged,
    CountsChanged,
    NightChanged,
    SourceChanged,
    TranslateChanged,
)
from nightday.pipeline.core.status import NewestPicture
from nightday.pipeline.monitoring.notify.mqtt import broker as broker_module
from nightday.pipeline.monitoring.notify.mqtt import cameras
from tests.pipeline.monitoring.notify.mqtt.home import Home, check_discovery, picture
from tests.support.mosquitto import Listener, Mosquitto

STATE, PICTURE = "nightday/gate/state", "nightday/gate/picture"
DEVICE, SET = "homeassistant/device/nightday-gate/config", "nightday/gate/translate/set"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda self, attempt, rng: 0.05)


@pytest.fixture
def home(broker: Mosquitto) -> Iterator[Home]:
    made = Home(broker)
    yield made
    made.close()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    made = Listener(broker)
    yield made
    made.close()


def state_when(listener: Listener, **values: Any) -> dict[str, Any]:
    """The camera's state, once it has these values."""

    def holds(payload: bytes) -> bool:
        told = json.loads(payload)
        return all(told[key] == value for key, value in values.items())

    found: dict[str, Any] = json.loads(listener.wait_for_last(STATE, holds))
    return found


def rendered(template: str, payload: bytes) -> str:
    """What Home Assistant makes of a value template, by Jinja alone."""
    return jinja2.Environment().from_string(template).render(value_json=json.loads(payload))


def test_a_camera_is_a_device_by_home_assistants_rules(home: Home, listener: Listener) -> None:
    home.serve()
    payload = listener.wait_for_last(DEVICE, bool)
    components = check_discovery(DEVICE, payload)
    assert set(components) == {
        *("picture", "connected", "night", "light", "translate", "fps", "latency", "other_scene", "moved")
    }
    assert json.loads(payload)["availability_topic"] == "nightday/status"
    assert listener.wait_for_last("nightday/status", bool) == b"online"
    assert components["translate"]["command_topic"] == SET
    assert components["translate"]["options"] == ["night", "always", "never"]
    assert components["picture"]["topic"] == PICTURE
    state = listener.wait_for_last(STATE, bool)
    shown = {
        key: rendered(one["value_template"], state)
        for key, one in components.items()
        if "value_template" in one
    }
    assert shown == {
        "connected": "True",
        "night": "True",
        "light": "dark",
        "translate": "night",
        "fps": "None",
        "latency": "None",
        "other_scene": "None",
        "moved": "False",
    }
    for key in ("connected", "night", "other_scene", "moved"):
        assert (components[key]["payload_on"], components[key]["payload_off"]) == ("True", "False")
    assert shown["light"] in components["light"]["options"]


def test_a_camera_without_a_model_has_no_switch(home: Home, listener: Listener) -> None:
    home.run.states["gate"]["engine"] = None
    home.serve()
    assert "translate" not in check_discovery(DEVICE, listener.wait_for_last(DEVICE, bool))


def test_everything_is_kept_at_the_broker_for_whoever_comes_later(home: Home, broker: Mosquitto) -> None:
    home.run.pictures["gate"] = picture(100, 1.0)
    home.serve()
    first = Listener(broker)
    for topic in (DEVICE, STATE, PICTURE, "nightday/status"):
        first.wait_for_last(topic, bool)
    second = Listener(broker)
    second.wait_for(lambda messages: len({topic for topic, _, _ in messages}) >= 4)
    assert all(retained for _, _, retained in second.messages[:4])
    first.close()
    second.close()


def test_a_change_is_told_at_once_and_numbers_now_and_then(
    home: Home, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "LOOK_EVERY", 1000.0)
    home.serve()
    state_when(listener, night=True)
    home.run.states["gate"] |= {"night": False, "light": "day"}
    home.publish(NightChanged(camera="gate", night=False, luma=120.0, chroma=9.0))
    state_when(listener, night=False, light="day")
    home.publish(BackgroundChanged(camera="gate", step="dropped", detail="moved", reason="moved"))
    state_when(listener, moved=True)
    home.publish(BackgroundChanged(camera="gate", step="learnt", detail="learnt", reason="day"))
    state_when(listener, moved=False)
    home.publish(BackgroundChanged(camera="gate", step="dropped", detail="other size", reason="resolution"))
    home.publish(CountsChanged(camera="gate", zone=None, counts={"cat": 1}, at=0.0))
    assert state_when(listener, counts={"picture": {"cat": 1}})["moved"] is False


def test_frame_rate_and_latency(home: Home, listener: Listener) -> None:
    stats = home.run.stats["gate"] = CameraStats()
    stats.set_up(True)
    stats.count_latency(0.0404)
    home.run.states["gate"]["model_fits"] = False
    home.serve()
    state_when(listener, connected=True, latency_ms=40, other_scene=True)
    done = threading.Event()

    def play() -> None:
        while not done.wait(0.01):
            stats.count_output(translated=True)

    player = threading.Thread(target=play)
    player.start()
    listener.wait_for_last(STATE, lambda payload: (json.loads(payload)["fps"] or 0) > 5)
    done.set()
    player.join()
    state_when(listener, fps=0.0)


def test_counts_have_entities_which_stay_over_a_restart(
    home: Home, listener: Listener, broker: Mosquitto
) -> None:
    awkward = 'a "b" {{ c }} \\ é'
    home.serve()
    listener.wait_for_last(DEVICE, bool)
    home.publish(CountsChanged(camera="gate", zone="yard", counts={"car": 2, awkward: 1}, at=0.0))
    home.publish(CountsChanged(camera="gate", zone=None, counts={"car": 3}, at=0.0))
    home.publish(CountsChanged(camera="gate", zone="yard", counts={"car": 1}, at=0.0))
    state = state_when(listener, counts={"picture": {"car": 3}, "yard": {"car": 1, awkward: 0}})
    payload = listener.wait_for_last(DEVICE, lambda one: b"count_yard" in one)
    components = check_discovery(DEVICE, payload)
    counts = {key: one for key, one in components.items() if key.startswith("count_")}
    assert {one["name"] for one in counts.values()} == {"Car", "Car in yard", f"A{awkward[1:]} in yard"}
    values = {
        one["name"]: rendered(one["value_template"], json.dumps(state).encode()) for one in counts.values()
    }
    assert values == {"Car": "3", "Car in yard": "1", f"A{awkward[1:]} in yard": "0"}
    home.close()
    again = Home(broker)
    again.serve()
    listener.wait_for_last("nightday/status", lambda payload: payload == b"online")
    listener.wait_for(lambda messages: messages[-1][0] == STATE or len(messages) > 8)
    assert check_discovery(DEVICE, listener.wait_for_last(DEVICE, bool)).keys() == components.keys()
    assert state_when(listener, counts={"picture": {"car": 0}, "yard": {"car": 0, awkward: 0}})
    again.close()


def test_counts_that_are_configured_have_entities_before_anything_is_seen(
    home: Home, listener: Listener
) -> None:
    found = home.run.stats["gate"].found
    found.begin(["yard", "road"], tracks=False, classes={None: ["car", "person"], "yard": ["person"]})
    home.serve()
    components = check_discovery(DEVICE, listener.wait_for_last(DEVICE, bool))
    names = {one["name"] for key, one in components.items() if key.startswith("count_")}
    assert names == {"Car", "Person", "Person in yard"}
    state_when(listener, counts={"picture": {"car": 0, "person": 0}, "yard": {"person": 0}})
    found.set_now("yard", {"person": 1})
    home.publish(CountsChanged(camera="gate", zone="yard", counts={"person": 1}, at=0.0))
    state_when(listener, counts={"picture": {"car": 0, "person": 0}, "yard": {"person": 1}})


def test_nothing_is_counted_where_nothing_is_seen_or_looked_for(home: Home, listener: Listener) -> None:
    home.serve()
    seen = CountsChanged(camera="gate", zone="yard", counts={"car": 2}, at=0.0)
    home.publish(CountsChanged(camera="gate", zone=None, counts={"car": 3}, at=0.0))
    home.publish(seen)
    state_when(listener, counts={"picture": {"car": 3}, "yard": {"car": 2}})
    stats = home.run.stats["gate"]
    stats.set_up(False)
    home.publish(SourceChanged(camera="gate", state="retrying", reason="stall"))
    state_when(listener, connected=False, counts={"picture": {"car": 0}, "yard": {"car": 0}})
    stats.set_up(True)
    home.publish(SourceChanged(camera="gate", state="playing"))
    state_when(listener, connected=True, counts={"picture": {"car": 3}, "yard": {"car": 2}})
    # A reload with another zone: what is not there any more is told by nobody.
    home.publish(SourceChanged(camera="gate", state="stopped"))
    stats.found.begin(["drive"], tracks=False)
    home.publish(SourceChanged(camera="gate", state="playing"))
    state_when(listener, counts={"picture": {"car": 0}})
    listener.wait_for_last(DEVICE, lambda payload: b"in yard" not in payload)
    # Another one without detection.
    stats.found.end()
    home.publish(SourceChanged(camera="gate", state="playing"))
    state_when(listener, counts={})


def test_pictures_are_jpegs_no_larger_than_needed_and_only_new_ones(home: Home, listener: Listener) -> None:
    home.run.pictures["gate"] = picture(90, 1.0, (1080, 1920))
    home.serve(picture_every_s=1)
    jpeg = cv2.imdecode(np.frombuffer(listener.wait_for_last(PICTURE, bool), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg is not None
    assert jpeg.shape == (720, 1280, 3)
    assert np.abs(jpeg.astype(int) - 90).max() <= 2
    home.run.pictures["gate"] = picture(200, 2.0)
    before = listener.last(PICTURE)
    listener.wait_for_last(PICTURE, lambda payload: payload != before)
    looks = [topic for topic, _, _ in listener.messages].count(STATE)
    home.run.states["gate"]["night"] = False  # it is looked at again and again
    state_when(listener, night=False)
    assert [topic for topic, _, _ in listener.messages].count(STATE) > looks
    assert len([topic for topic, _, _ in listener.messages if topic == PICTURE]) == 2


def test_a_broker_that_forgot_everything_is_told_again(home: Home, broker: Mosquitto) -> None:
    home.run.pictures["gate"] = picture(100, 1.0)
    home.serve()
    home.wait_told("notify_connected")
    broker.stop(kill=True)
    broker.start()
    listener = Listener(broker)
    for topic in (DEVICE, STATE, PICTURE):
        listener.wait_for_last(topic, bool)
    listener.wait_for_last("nightday/status", lambda payload: payload == b"online")
    listener.close()


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_kept_of_a_camera_that_is_gone_is_cleared(
    home: Home, listener: Listener, broker: Mosquitto, restart: bool
) -> None:
    yard = {topic.replace("gate", "yard") for topic in (DEVICE, STATE, PICTURE)}
    home.run.stats["yard"] = CameraStats()
    home.run.pictures |= {"yard": picture(50, 1.0), "gate": picture(60, 1.0)}
    home.serve()
    for topic in (*yard, DEVICE, STATE, PICTURE):
        listener.wait_for_last(topic, bool)
    if restart:
        home.close()
        home = Home(broker)
        home.serve()
    else:
        del home.run.stats["yard"], home.run.pictures["yard"]
    for topic in yard:
        listener.wait_for_last(topic, lambda payload: payload == b"")
    # First the device: Home Assistant would read an empty state otherwise.
    cleared = [topic for topic, payload, _ in listener.messages if payload == b""]
    assert cleared[0] == DEVICE.replace("gate", "yard")
    assert set(cleared) == yard
    for topic in (DEVICE, STATE, PICTURE):
        assert listener.last(topic)  # also where the new run has no picture yet
    later = Listener(broker)
    later.wait_for(lambda messages: {topic for topic, _, _ in messages} >= {DEVICE, STATE, PICTURE})
    assert not {topic for topic, _, _ in later.messages} & yard
    later.close()
    home.close()


def test_without_discovery_nothing_is_told_to_home_assistant(home: Home, listener: Listener) -> None:
    home.serve(discovery=False)
    listener.wait_for_last(STATE, bool)
    home.close()
    assert not [topic for topic, _, _ in listener.messages if topic.startswith("homeassistant")]


# --- commands -------------------------------------------------------------------------------------------------


def test_translating_is_switched_and_the_state_follows(home: Home, listener: Listener) -> None:
    set_it = home.run.set_translate

    def set_translate(camera: str, when: Translate) -> None:
        set_it(camera, when)
        home.publish(TranslateChanged(camera=camera, translate=when))

    home.run.set_translate = set_translate  # type: ignore[method-assign]
    home.serve()
    state_when(listener, translate="night")
    for when in ("never", "always", "night"):
        listener.publish(SET, when)
        state_when(listener, translate=when)
    assert home.of("command_refused") == []


@pytest.mark.parametrize(
    ("topic", "payload", "said"),
    [
        (SET, b"sometimes", "it must be night, always or never"),
        (SET, b"", "it must be night, always or never"),
        (SET, b"never" + b" " * 3000, "it must be night, always or never"),
        (SET, b"\xff\xfe\x00", "it must be night, always or never"),
        ("nightday/unknown/translate/set", b"never", "there is no camera of this name"),
        ("nightday/blind/translate/set", b"never", "blind runs without a model"),
    ],
)
def test_a_command_that_is_none_is_told_once_and_changes_nothing(
    home: Home, listener: Listener, topic: str, payload: bytes, said: str
) -> None:
    home.run.stats["blind"], home.run.pictures["blind"] = CameraStats(), None
    home.run.without_model.add("blind")
    home.serve()
    state_when(listener, translate="night")
    listener.publish(topic, payload)
    told = home.wait_told("command_refused")
    assert told.startswith(f"a command at {topic} is not followed: ")
    assert said in told
    for _ in range(20):
        listener.publish(topic, payload)
    listener.publish(SET, b"never")
    state_when(listener, translate="never")
    assert len(home.of("command_refused")) == 1


def test_a_command_too_large_for_any_reaches_no_memory_and_the_next_one_works(
    home: Home, listener: Listener
) -> None:
    home.serve()
    state_when(listener, translate="night")
    listener.publish(SET, b"n" * (broker_module.LARGEST_COMMAND + 1))
    listener.publish(SET, b"n" * 5_000_000)
    listener.publish(SET, b"never")
    state_when(listener, translate="never")
    assert home.of("notify_failed") == []


def test_a_retained_command_is_not_followed_at_each_start(home: Home, listener: Listener) -> None:
    listener.publish(SET, b"never", retain=True)
    home.serve()
    assert "it was retained" in home.wait_told("command_refused")
    assert state_when(listener, translate="night")


# --- what a broker may refuse ---------------------------------------------------------------------------------


def password_file(folder: Path, user: str, password: str) -> Path:
    path = folder / "passwords"
    path.write_text(f"{user}:{password}\n")
    subprocess.run(["/usr/bin/mosquitto_passwd", "-U", str(path)], check=True, capture_output=True)
    return path


def test_a_wrong_password_is_told_in_a_sentence_and_the_right_one_works(tmp_path: Path) -> None:
    file = password_file(tmp_path, "nightday", "correct horse")
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {file}")
    broker.start()
    home = Home(broker)
    for login in ({"username": None}, {"username": "nightday", "password": "wrong horse"}):
        home.serve(**login)
        home.wait_told("notify_failed", 1 if login["username"] is None else 2)
    home.serve(password="correct horse")
    home.wait_told("notify_connected")
    for said in home.of("notify_failed"):
        assert said.startswith(
            f"events wait, as the MQTT broker 127.0.0.1:{broker.port} does not take them: it refuses"
        )
        assert "horse" not in said
    home.close()
    broker.stop()


def certificates(folder: Path, name: str) -> None:
    """An authority ``ca.pem``, and a certificate of its for ``name``: ``cert.pem`` and ``key.pem``."""
    (folder / "san").write_text(f"subjectAltName={name}")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ours",
        "req -newkey rsa:2048 -nodes -keyout key.pem -out cert.csr -subj /CN=broker",
        "x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile san",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def test_tls_is_checked_and_what_is_wrong_is_told_in_a_sentence(tmp_path: Path, listener: Listener) -> None:
    certificates(tmp_path, "IP:127.0.0.1")
    files = (f"cafile {tmp_path}/ca.pem", f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem")
    broker = Mosquitto(tmp_path, "allow_anonymous true", *files)
    broker.start()
    plain = Mosquitto(tmp_path)
    (tmp_path / "plain").mkdir()
    plain._config = tmp_path / "plain" / "mosquitto.conf"
    plain.start()
    home = Home(broker)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "perhaps it wants `tls: true`"),
        ({"tls": True}, "its certificate is not trusted: "),
        ({"ca": str(tmp_path / "ca.pem"), "host": "localhost"}, "its certificate is not trusted: "),
        ({"host": "127.0.0.1", "port": plain.port}, "no TLS there: "),
    ]
    for count, (settings, said) in enumerate(wrong, start=1):
        home.serve(**settings)
        assert said in home.wait_told("notify_failed", count)
    home.serve(port=broker.port)
    home.wait_told("notify_connected")
    home.close()
    broker.stop()
    plain.stop()


class Fake:
    """Something else than a broker, which answers each connection with bytes of its own and closes it."""

    def __init__(self, answer: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._answer = answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02\x00\x03",
        b"\x20\x00",
        b"\x20\x03\x00\x97\x00",
        bytes(range(256)),
    ],
)
def test_what_is_no_broker_is_told_and_tried_again(tmp_path: Path, answer: bytes) -> None:
    server, home = Fake(answer), Home(Mosquitto(tmp_path))
    home.serve(port=server.port)
    assert "does not take them: " in home.wait_told("notify_failed")
    (sink,) = home.notifications.sinks
    assert sink.is_alive()
    broker = Mosquitto(tmp_path)
    broker.start()
    home.serve(port=broker.port)
    home.wait_told("notify_connected")
    home.close()
    server.close()
    broker.stop()


def test_a_broker_that_says_nothing_is_given_up_and_stopped_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        home = Home(Mosquitto(tmp_path))
        home.serve(port=silent.getsockname()[1])
        (sink,) = home.notifications.sinks
        home.serve_nothing()
        assert not sink.is_alive()
        monkeypatch.setattr(broker_module, "CONNECT_WITHIN", 0.2)
        home.serve()
        assert home.wait_told("notify_failed").endswith("it does not answer")
        home.close()


def test_an_old_broker_is_spoken_to_in_its_own_version(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that closes the connection at MQTT 5 is tried with 3.1.1, and works as well."""
    real_open = broker_module.Broker.open

    def open_old(self: broker_module.Broker, *rest: Any) -> None:
        if self._protocol == "5":
            raise broker_module.BrokerError("it closes the connection without an answer", protocol=True)
        real_open(self, *rest)

    monkeypatch.setattr(broker_module.Broker, "open", open_old)
    listener, home = Listener(broker), Home(broker)
    home.serve()
    home.happen("1")
    listener.wait_for(
        lambda _: [one["message"] for one in listener.events() if one["event"] == "reloaded"] == ["1"]
    )
    listener.publish(SET, b"never")
    state_when(listener, translate="never")
    home.close()
    assert listener.last("nightday/status") == b"offline"
    listener.close()


def test_a_broker_that_takes_small_messages_alone_gets_no_pictures_and_all_events(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, "allow_anonymous true", "max_packet_size 8000")
    broker.start()
    listener, home = Listener(broker), Home(broker)
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    home.run.pictures["gate"] = NewestPicture(noise, noise, Fraction(1), 1.0)
    home.serve()
    home.happen("1")
    listener.wait_for_last(STATE, bool)
    home.close()
    listener.wait_for(lambda _: any(one["event"] == "reloaded" for one in listener.events()))
    assert listener.last(PICTURE) is None
    assert home.of("notify_failed") == []
    listener.close()
    broker.stop()
