"""Files that are not shaped like a configuration: one sentence, and three lines that show how one looks."""

from __future__ import annotations

import json

import pytest

from nightday.pipeline.config.errors import EXAMPLE, ConfigError
from tests.pipeline.config.documents import Load, one

QUOTES = "not YAML: within { } or [ ] what holds ${…} stands in quotes: "
TAB = "not YAML: this line is indented with a tab; YAML takes blanks only, two for each level"
KEYS = (
    "not YAML: this line's indentation fits no line above it; keys that belong together begin in one column"
)
DASHES = "not YAML: this line's indentation fits no line above it; the dashes of one list begin in one column"
OTHER_FORMAT = "not YAML: this looks like an INI or TOML file"
NOT_OURS = "nightday-stream takes one of its own, a list of cameras"
UNKNOWN = "holds no `cameras:` and no other key of nightday-stream; this looks like another program's file"
LIST = "must hold `cameras:` with the list of cameras below it, not a list alone"

FRIGATE = """\
mqtt: {host: 10.0.0.2}
detectors: {cpu1: {type: cpu}}
cameras:
  back:
    ffmpeg:
      inputs: [{path: "rtsp://10.0.0.5/s", roles: [detect]}]
"""
HOME_ASSISTANT = """\
default_config:
frontend: !include_dir_merge_named themes
camera:
  - platform: generic
    stream_source: !secret gate
"""
GO2RTC = "api: {listen: ':1984'}\nstreams:\n  gate: rtsp://10.0.0.5/s\n"
MEDIAMTX = "logLevel: info\npaths:\n  gate: {source: rtsp://10.0.0.5/s}\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cameras:\n\t- name: gate\n", f"2: {TAB}"),
        ("cameras:\n  - name: gate\n\turl: clip.mp4\n", f"3: {TAB}"),
        ("cameras:\n  - name: gate\n  \turl: clip.mp4\n", f"3: {TAB}"),
        ("cameras:\r\n\t- name: gate\r\n", f"2: {TAB}"),
        ('{\n\t"cameras": []\n}\n', f"2: {TAB}"),
        ("cameras:\n  - name:\tgate\n", "2: not YAML: a tab stands in this line; YAML takes blanks only"),
        ("cameras:\n  - name: gate\n   url: clip.mp4\n", f"3: {KEYS}"),
        ("cameras:\n  - name: gate\n  url: clip.mp4\n", f"3: {KEYS}"),
        ("cameras:\n  - name: gate\n      url: clip.mp4\n", f"3: {KEYS}"),
        ("cameras:\n  - name: gate\n    url: clip.mp4 # mine\n     loop: true\n", f"4: {KEYS}"),
        ("  cameras:\n  - name: gate\nengine: {}\n", f"3: {KEYS}"),
        ("cameras:\n - name: gate\n- name: yard\n", f"3: {DASHES}"),
        ("cameras:\n  - name: gate\n    url: clip.mp4\n - name: yard\n", f"4: {DASHES}"),
        *(
            (f"cameras:\n  - name: gate\n    outputs: {entry}\n", f"3: {QUOTES}")
            for entry in (
                "[rtmp://h/app/${KEY}]",
                "[{to: rtsp://viewer:${KEY}@h/x, view: pair}]",
                "[{view: pair, to: ${KEY}}]",
            )
        ),
        (
            "cameras:\n  -name: gate\n   url: a\n",
            "3: not YAML: the line above lacks a blank after its dash; write",
        ),
        (
            "cameras:\n  - name:gate\n    url: a\n",
            "3: not YAML: the line above lacks a blank after its colon; write",
        ),
        ("[gate]\nurl = rtsp://10.0.0.5/s\n", f"1: {OTHER_FORMAT}"),
        ("; mine\n[gate]\nurl=rtsp://10.0.0.5/s\n", f"1: {OTHER_FORMAT}"),
        ('# mine\n[[cameras]]\nname = "gate"\n', f"1: {OTHER_FORMAT}"),
        ('title = "cameras"\n\n[cameras.gate]\nurl = "rtsp://10.0.0.5/s"\n', f"1: {OTHER_FORMAT}"),
        (json.dumps({"server": {"port": 1}}), f"1: {UNKNOWN}"),
        (json.dumps([{"name": "gate"}]), f"1: {LIST}"),
        ("- name: gate\n  url: clip.mp4\n", f"1: {LIST}"),
        ("just text", "1: must hold `cameras:` and a list of cameras, not just one value"),
        ("gate: rtsp://10.0.0.5/s\n", f"1: {UNKNOWN}"),
        ("", "1: empty; it needs at least `cameras:` with one camera"),
        (FRIGATE, f"3: cameras: this looks like a file of Frigate; {NOT_OURS}"),
        (HOME_ASSISTANT, f"3: camera: this looks like a file of Home Assistant; {NOT_OURS}"),
        ("homeassistant: {}\n", f"1: homeassistant: this looks like a file of Home Assistant; {NOT_OURS}"),
        (GO2RTC, f"2: streams: this looks like a file of go2rtc; {NOT_OURS}"),
        (json.dumps({"streams": {}}), f"1: streams: this looks like a file of go2rtc; {NOT_OURS}"),
        (MEDIAMTX, f"2: paths: this looks like a file of MediaMTX; {NOT_OURS}"),
        ("cameras:\n  gate: {url: clip.mp4}\n", "1: cameras: must be a list, not a mapping"),
        ("cameras: [gate]\n", '1: cameras[0]: must be a mapping (key: value), not "gate"'),
        ("cameras:\n", "1: cameras: missing; it needs a list with at least one camera"),
    ],
)
def test_one_sentence_and_an_example(load: Load, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(text)
    (found,) = error.value.faults
    assert found.startswith(f"cameras.yaml:{fault}")
    assert error.value.example == EXAMPLE
    assert str(error.value) == "\n".join([found, *EXAMPLE])


def test_the_example_is_one(load: Load) -> None:
    """Three lines, which are right but for the model."""
    assert len(EXAMPLE) == 3
    load("\n".join([*EXAMPLE, "    translate: never"]), GATE_PASSWORD="x")


@pytest.mark.parametrize(
    "text",
    [
        one(loop="maybe"),
        "cameras:\n  - {name: gate, url: clip.mp4, translate: never}\nstreams: {}\n",
        "a: b: c\n",
        "a: [1, 2\nb: 3\n",
    ],
)
def test_no_example_where_the_shape_is_right_or_nobody_knows(load: Load, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(text)
    assert error.value.example == ()


def test_json_is_yaml(load: Load) -> None:
    cameras = [{"name": "gate", "url": "clip.mp4", "translate": "never"}]
    assert load(json.dumps({"cameras": cameras}, indent=2)).config.cameras[0].name == "gate"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "cameras:\n- {name: gate, url: clip.mp4, translate: never}\nloop: true\n",
            "3: loop: unknown key here; it belongs to a camera, in the column of the camera's name, or below "
            "`defaults:`",
        ),
        (
            one(engine="{backend: eager}"),
            "6: cameras[0].engine: unknown key here; it belongs at the left edge, without indentation",
        ),
        (
            one(every_s="2"),
            "6: cameras[0].every_s: 2 is for a JPEG at an http:// or https:// address; leave it out for a source "
            "that sends a video, and put that of background or collect below it",
        ),
        (
            one(decoder="gstreamer"),
            '6: cameras[0].decoder: "gstreamer" is for cameras at an rtsp:// or rtsps:// address; leave decoder out',
        ),
        (one(gigabytes="2"), "6: cameras[0].gigabytes: unknown key here; it belongs below `retention:`"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(load: Load, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(text)
    assert error.value.faults == (f"cameras.yaml:{fault}",)
