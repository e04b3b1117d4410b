"""``events``, ``webhooks`` and ``mqtt``: what is taken, and what is refused at which line."""

from __future__ import annotations

import base64
import importlib.util
import sys
from pathlib import Path

import pytest

from nightday.pipeline.config import notify
from tests.pipeline.config.documents import SECRET, Faults, Load, one

PASSWORD = "correct horse battery"
ALL = """\
events: {file: out/events.jsonl, megabytes: 2.5, keep: 3, spool: state/spool.sqlite}
webhooks:
  - {url: "https://hooks.example.org/T0/B1/abcdef0123456789", secret: "${HOOK}", events: [camera_*, night_began]}
  - url: http://user:${PASSWORD}@10.0.0.9:8123/api
mqtt:
  host: broker.lan
  username: nightday
  password: ${PASSWORD}
  tls: true
  ca: ca.pem
  topic_prefix: home/nightday
  discovery: false
  discovery_prefix: ha
  picture_every_s: 30
  events: [zone_entered]
"""


def test_all_keys(load: Load) -> None:
    Path("ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    config = load(one() + ALL, PASSWORD=PASSWORD, HOOK="0123456789abcdef").config
    assert (config.events.file, config.events.megabytes) == (Path("out/events.jsonl"), 2.5)
    assert (config.events.keep, config.events.spool) == (3, Path("state/spool.sqlite"))
    hook, other = config.webhooks
    assert hook.url.reveal() == "https://hooks.example.org/T0/B1/abcdef0123456789"
    assert hook.secret is not None
    assert hook.secret.get_secret_value() == "0123456789abcdef"
    assert hook.events == ("camera_*", "night_began")
    assert (other.secret, other.events) == (None, ("*",))
    mqtt = config.mqtt
    assert mqtt is not None
    assert mqtt.password is not None
    assert (mqtt.address, mqtt.tls, mqtt.ca) == (("broker.lan", 8883), True, Path("ca.pem"))
    assert (mqtt.username, mqtt.password.get_secret_value()) == ("nightday", PASSWORD)
    assert (mqtt.topic_prefix, mqtt.discovery, mqtt.discovery_prefix) == ("home/nightday", False, "ha")
    assert (mqtt.picture_every_s, mqtt.events) == (30, ("zone_entered",))
    shown = repr(config) + str(config.dump())
    for secret in (PASSWORD, "0123456789abcdef", "abcdef0123456789"):
        assert secret not in shown
    assert str(hook.url) == "https://hooks.example.org/***"
    assert config.dump()["mqtt"]["password"] == "***"
    assert not Path("out").exists()


def test_defaults(load: Load) -> None:
    config = load(one() + "mqtt: {host: 10.0.0.2}\n").config
    assert config.mqtt is not None
    assert config.mqtt.address == ("10.0.0.2", 1883)
    assert (config.mqtt.topic_prefix, config.mqtt.discovery, config.mqtt.events) == ("nightday", True, ("*",))
    assert (config.events.file, config.events.spool, config.webhooks) == (None, None, ())
    assert load(one() + "mqtt:\nevents:\nwebhooks:\n").config.mqtt is None


@pytest.mark.parametrize(
    "host", ["10.0.0.2", "::1", "fe80::1%eth0", "broker", "broker.lan", "mqtt_broker-1.lan"]
)
def test_hosts(load: Load, host: str) -> None:
    mqtt = load(f"{one()}mqtt: {{host: '{host}', port: 1}}\n").config.mqtt
    assert mqtt is not None
    assert mqtt.address == (host, 1)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("mqtt: 10.0.0.2", '6: mqtt: must be a mapping (key: value), not "10.0.0.2"'),
        (
            "mqtt: {port: 1883}",
            '6: mqtt: a mapping has no broker; add `url: "mqtt://10.0.0.2:1883"`, or `host`',
        ),
        ("mqtt: {url: x}", '6: mqtt.url: "x" must begin with mqtt://, or mqtts:// for TLS'),
        (
            "mqtt: {host: 'mqtt://10.0.0.2:1883'}",
            '6: mqtt.host: "mqtt://10.0.0.2:1883" is no host; give its name or address alone, such as 10.0.0.2',
        ),
        ("mqtt: {host: '10.0.0.2:1883'}", '6: mqtt.host: "10.0.0.2:1883" is no host'),
        ("mqtt: {host: ''}", "6: mqtt.host: is empty"),
        ("mqtt: {host: a, port: 0}", "6: mqtt.port: must be at least 1, not 0"),
        ("mqtt: {host: a, port: 65536}", "6: mqtt.port: must be at most 65535, not 65536"),
        ("mqtt: {host: a, tls: maybe}", '6: mqtt.tls: must be true or false, not "maybe"'),
        (
            "mqtt: {host: a, tls: true, ca: nowhere.pem}",
            '6: mqtt.ca: "nowhere.pem": cannot be read: No such file',
        ),
        ("mqtt: {host: a, tls: true, ca: gate.pt}", '6: mqtt.ca: "gate.pt" holds no certificate in PEM'),
        ("mqtt: {host: a, ca: cert.pem}", '6: mqtt.ca: "cert.pem" is used with TLS alone; add `tls: true`'),
        (f"mqtt: {{host: a, password: {SECRET}}}", "6: mqtt.password: *** needs a username beside it"),
        ("mqtt: {host: a, username: u, password: 1234}", "6: mqtt.password: must be text (put it in quotes)"),
        ("mqtt: {host: a, topic_prefix: 'a/#'}", "6: mqtt.topic_prefix: must be 1 to 100 letters"),
        ("mqtt: {host: a, topic_prefix: /a}", "6: mqtt.topic_prefix: must be 1 to 100 letters"),
        ("mqtt: {host: a, discovery_prefix: 'home assistant'}", "6: mqtt.discovery_prefix: must be 1 to 100"),
        ("mqtt: {host: a, picture_every_s: 0.5}", "6: mqtt.picture_every_s: must be at least 1, not 0.5"),
        (
            "mqtt: {host: a, events: [nigth_began]}",
            '6: mqtt.events[0]: "nigth_began": no event is called so; did you mean "night_began"?',
        ),
        ("mqtt: {host: a, events: night_began}", '6: mqtt.events: must be a list, not "night_began"'),
        (
            "mqtt: {host: a, events: []}",
            "6: mqtt.events: a list is empty; leave it out, and all events are sent",
        ),
        ("mqtt: {host: a, discover: false}", '6: mqtt.discover: unknown key; did you mean "discovery"?'),
        ("webhooks: {url: http://h/a}", "6: webhooks: must be a list, not a mapping"),
        (
            "webhooks: [{url: 10.0.0.9/a}]",
            "6: webhooks[0].url: must be a web address, such as https://example.org",
        ),
        ("webhooks: [{url: ftp://h/a}]", "6: webhooks[0].url: must be a web address"),
        ("webhooks: [{url: 'http:///a'}]", '6: webhooks[0].url: "http:///a" has no host'),
        (
            "webhooks: [{url: 'http://h:99999/a'}]",
            '6: webhooks[0].url: "http://h:99999/a" has no usable port',
        ),
        ("webhooks: [{secret: 0123456789abcdef}]", "6: webhooks[0].url: missing"),
        (
            "webhooks: [{url: http://h/a, secret: short}]",
            "6: webhooks[0].secret: must be 16 or more characters",
        ),
        (
            "webhooks: [{url: http://h/a, secret: whsec_no-base-64-at-all}]",
            "6: webhooks[0].secret: must be Base64 behind whsec_; make it with: echo whsec_$(openssl rand",
        ),
        (
            "webhooks: [{url: http://h/a}, {url: http://h/b}, {url: http://h/a}]",
            "6: webhooks[2].url: is the address of webhooks[0] already; put all events below one",
        ),
        ("events: {file: clip.mp4/x}", '6: events.file: "clip.mp4/x": cannot write to clip.mp4: '),
        ("events: {file: .}", '6: events.file: "." is a folder; give a file in it'),
        ("events: {megabytes: 0}", "6: events.megabytes: must be more than 0, not 0"),
        ("events: {keep: -1}", "6: events.keep: must be at least 0, not -1"),
        (
            "events: {file: a.db, spool: ./a.db}",
            "6: events.spool: is the file of `file:` as well; name another",
        ),
        ("events: [a]", "6: events: must be a mapping (key: value), not a list"),
    ],
)
def test_what_is_refused(faults: Faults, text: str, fault: str) -> None:
    Path("cert.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    found = faults(one() + text + "\n")
    expected = [f"cameras.yaml:{start}" for start in fault.split("|")]
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


def test_secrets_of_an_address_are_in_no_fault(faults: Faults) -> None:
    (line,) = faults(one() + f"webhooks: [{{url: 'http://u:{SECRET}@h:x/a'}}]\n")
    assert "webhooks[0].url" in line


def test_a_secret_for_standard_webhooks_is_taken(load: Load) -> None:
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    (hook,) = load(f"{one()}webhooks: [{{url: http://h/a, secret: {secret}}}]\n").config.webhooks
    assert hook.secret is not None
    assert hook.secret.get_secret_value() == secret


def test_too_many_webhooks(faults: Faults) -> None:
    entries = ", ".join(f"{{url: http://h/{number}}}" for number in range(notify.MOST_WEBHOOKS + 1))
    (line,) = faults(one() + f"webhooks: [{entries}]\n")
    assert line.startswith("cameras.yaml:6: webhooks: a list has 33 entries, more than the 32 that are taken")


def test_a_missing_library_is_told_with_the_way_out(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "paho" else find(name, *rest)
    )
    (line,) = faults(one() + "mqtt: {host: a}\n")
    assert line.startswith('cameras.yaml:6: mqtt.host: "a" needs paho-mqtt; install it with: pip install ')
    assert "'.[mqtt]'" in line


def test_reading_it_does_not_import_the_library(load: Load) -> None:
    before = set(sys.modules)
    load(one() + "mqtt: {host: a}\n")
    assert not any(name.startswith("paho") for name in set(sys.modules) - before)


@pytest.mark.parametrize(
    ("url", "address", "tls", "login"),
    [
        ("mqtt://127.0.0.1:1883", ("127.0.0.1", 1883), False, (None, None)),
        ("mqtt://broker.lan", ("broker.lan", 1883), False, (None, None)),
        ("mqtts://broker.lan", ("broker.lan", 8883), True, (None, None)),
        ("mqtts://home:p%40ss%3Aw@[::1]:1", ("::1", 1), True, ("home", "p@ss:w")),
    ],
)
def test_a_broker_may_be_one_address(
    load: Load, url: str, address: tuple[str, int], tls: bool, login: tuple[str | None, str | None]
) -> None:
    mqtt = load(f'{one()}mqtt: {{url: "{url}", topic_prefix: home}}\n').config.mqtt
    assert mqtt is not None
    assert (mqtt.address, mqtt.tls, mqtt.topic_prefix) == (address, tls, "home")
    password = None if mqtt.password is None else mqtt.password.get_secret_value()
    assert (mqtt.username, password) == login
    assert "p%40ss" not in str(mqtt.url)


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        (
            "url: http://broker",
            'cameras.yaml:6: mqtt.url: "http://broker" must begin with mqtt://, or mqtts:// for TLS',
        ),
        (
            "url: mqtt://broker/topic",
            'cameras.yaml:6: mqtt.url: "mqtt://broker/topic" holds more than host, port and login',
        ),
        (
            'url: "mqtt://:1883"',
            'cameras.yaml:6: mqtt.url: "mqtt://:1883" has no host',
        ),
        ("url: mqtt://broker, port: 1", "cameras.yaml:6: mqtt: a mapping has `url` and `port`"),
        (
            "topic_prefix: home",
            'cameras.yaml:6: mqtt: a mapping has no broker; add `url: "mqtt://10.0.0.2:1883"`',
        ),
    ],
)
def test_an_address_of_a_broker_that_is_wrong(faults: Faults, keys: str, fault: str) -> None:
    (found,) = faults(f"{one()}mqtt: {{{keys}}}\n")
    assert found.startswith(fault)
