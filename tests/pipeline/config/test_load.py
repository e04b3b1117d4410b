"""Configuration files: every fault at once, each at its line, never a traceback and never a secret."""

from __future__ import annotations

import contextlib
import random
import secrets
from pathlib import Path

import pytest

from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.load import load_config
from nightday.pipeline.config.yaml_document import LARGEST
from tests.pipeline.config.documents import GOOD, SECRET, Faults, Load, one


def test_a_good_file(load: Load) -> None:
    config = load(GOOD, GATE_PASSWORD=SECRET).config
    gate, yard = config.cameras
    assert gate.url.reveal() == f"rtsp://viewer:{SECRET}@10.0.0.5/stream1"
    assert gate.translate == "night"
    assert [output.to.reveal() for output in gate.outputs] == [
        "out/gate/%Y%m%d-%H%M%S.mp4",
        "rtsp://127.0.0.1:8554/gate-day",
    ]
    assert (yard.translate, yard.loop, yard.pace, yard.detect) == ("never", True, "fast", False)
    assert gate.model == Path("gate.pt")
    assert yard.snapshot == Path("out/yard.png")
    assert yard.background is not None
    assert (yard.background.frames, yard.background.every_s) == (9, 2.0)
    assert gate.background is not None
    assert gate.background.save == Path("out/gate-bg.png")
    assert (config.engine.backend, config.engine.precision, config.engine.max_batch) == ("eager", "auto", 4)
    assert not Path("out").exists()  # the folder was tried, and taken away again
    assert SECRET not in repr(config) + str(config) + str(config.dump())


def test_every_fault_at_once_with_its_line_value_and_nearest_key(faults: Faults) -> None:
    text = f"""\
cameras:
  - name: gate 1
    url: rtps://viewer:{SECRET}@10.0.0.5/stream1
    modle: gate.pt
    model: gate.pt
    translate: nite
    segment_seconds: soon
    outputs: out.mp4
  - name: yard
    url: missing.mp4
    model: text.pt
    loop: maybe
    background: {{frames: 0, save: bg.jpg, evry_s: 2}}
    outputs:
      - clip.avi
      - rtmp://viewer@host/app/{SECRET}
  - name: yard
    url: clip.mp4
    model: nowhere.pt
    translate: no
  - url: device:one
    outputs: [clip.mp4/x.mp4]
engine: {{backend: tensorflow, max_batch: 0}}
mqttt: {{host: x}}
"""
    expected = {
        2: ['cameras[0].name: must be 1 to 64 letters, digits, - and _, not "gate 1"'],
        3: ['cameras[0].url: "rtps://***@10.0.0.5/stream1": rtps: is no kind of camera here'],
        4: ['cameras[0].modle: unknown key; did you mean "model"?'],
        6: ['cameras[0].translate: must be night, always or never, not "nite"; did you mean "night"?'],
        7: ['cameras[0].segment_seconds: must be a number, not "soon"'],
        8: ['cameras[0].outputs: must be a list, not "out.mp4"'],
        10: ['cameras[1].url: "missing.mp4": no such file'],
        11: ['cameras[1].model: "text.pt": not a checkpoint'],
        12: ['cameras[1].loop: must be true or false, not "maybe"'],
        13: [
            'cameras[1].background.evry_s: unknown key; did you mean "every_s"?',
            "cameras[1].background.frames: must be at least 1, not 0",
            'cameras[1].background.save: "bg.jpg" must end in .png',
        ],
        15: ['cameras[1].outputs[0]: "clip.avi": a file output must end in .mp4'],
        16: ['cameras[1].outputs[1]: "rtmp://***@host/app/***": RTMP has no login'],
        17: ["cameras[2].name: 'yard' is the name of cameras[1] already"],
        19: ['cameras[2].model: "nowhere.pt": no such checkpoint'],
        20: ["cameras[2].translate: must be night, always or never, not no"],
        21: [
            "cameras[3].name: missing",
            "cameras[3].url: must be device: and a number (e.g. device:0) or a path (e.g. /dev/v4l/by-id/…), "
            'not "device:one"',
        ],
        22: ['cameras[3].outputs[0]: "clip.mp4/x.mp4": cannot write to clip.mp4: '],
        23: [
            "engine.backend: must be auto, eager, compile, openvino or tensorrt, "
            'not "tensorflow"; did you mean "tensorrt"?',
            "engine.max_batch: must be at least 1, not 0",
        ],
        24: ['mqttt: unknown key; did you mean "mqtt"?'],
    }
    found = faults(text)
    wanted = [f"cameras.yaml:{line}: {start}" for line, starts in expected.items() for start in starts]
    for fault, start in zip(found, wanted, strict=True):
        assert fault.startswith(start)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "cameras.yaml:1: empty; it needs at least `cameras:` with one camera"),
        ("# nothing\n", "cameras.yaml:1: empty"),
        ("cameras: []\n", "cameras.yaml:1: cameras: must have at least one camera"),
        ("cameras:\n", "cameras.yaml:1: cameras: missing; it needs a list"),
        ("engine: {}\n", "cameras.yaml:1: cameras: missing; it needs a list"),
        ("- a\n- b\n", "cameras.yaml:1: must hold `cameras:`"),
        ("just text", "cameras.yaml:1: must hold `cameras:`"),
        ("a: [1, 2\nb: 3\n", "cameras.yaml:2: not YAML: "),
        ("a: b: c\n", "cameras.yaml:1: not YAML: mapping values are not allowed here"),
        ("\x00", "cameras.yaml:1: not YAML: "),
        (b"\xff\xfe\xff", "cameras.yaml:1: not YAML: "),
        (b"name: \xe9\n", "cameras.yaml:1: not YAML: "),
        ("a: *b\n", "cameras.yaml:1: not YAML: found undefined alias"),
        ("[" * 3000, "cameras.yaml:1: not YAML"),
        (one() + "? [a]\n: b\n", "cameras.yaml:6: a key must be a word"),
        (one(outputs="&a [*a]"), "cameras.yaml:6: cameras[0].outputs[0]: an alias of itself"),
        (
            one(snapshot="!!python/object:os.system x"),
            "cameras.yaml:6: cameras[0].snapshot: tag tag:yaml.org,2002:py",
        ),
        (one(snapshot="!png x"), "cameras.yaml:6: cameras[0].snapshot: tag !png is not understood"),
        ("--- a\n--- b\n", "cameras.yaml:2: not YAML: but found another document"),
        ("x" * (LARGEST + 1), "cameras.yaml:1: larger than 256 KiB"),
        ("cameras: {gate: {}}\n", "cameras.yaml:1: cameras: must be a list, not a mapping"),
        ("cameras: [gate]\n", 'cameras.yaml:1: cameras[0]: must be a mapping (key: value), not "gate"'),
        ("cameras: [[]]\n", "cameras.yaml:1: cameras[0]: must be a mapping (key: value), not a list"),
        (one(name="12"), "cameras.yaml:3: cameras[0].name: must be text (put it in quotes), not 12"),
        (one(name="[a]"), "cameras.yaml:3: cameras[0].name: must be text (put it in quotes), not a list"),
        (one(name='"gate\\n"'), "cameras.yaml:3: cameras[0].name: must be 1 to 64"),
        (
            one(name="gate", url="{a: 1}"),
            "cameras.yaml:4: cameras[0].url: must be a camera's address, not a mapping",
        ),
        (one(url='""'), "cameras.yaml:4: cameras[0].url: is empty"),
        (one(url=""), "cameras.yaml:3: cameras[0].url: missing"),
        (
            one(url="concat:a.mp4|b.mp4"),
            'cameras.yaml:4: cameras[0].url: "concat:a.mp4|b.mp4": concat: is no kind',
        ),
        (one(url="rtsp:///stream"), 'cameras.yaml:4: cameras[0].url: "rtsp:///stream" has no host'),
        (
            one(url="rtsp://h:65536/x"),
            'cameras.yaml:4: cameras[0].url: "rtsp://h:65536/x" has no usable port',
        ),
        (
            one(url=f"rtsp://u:{SECRET}@h:x/s"),
            'cameras.yaml:4: cameras[0].url: "rtsp://***@h:***/s" has no usable',
        ),
        (
            one(url=f"rtsp://viewer:{SECRET}/s"),
            'cameras.yaml:4: cameras[0].url: "rtsp://viewer:***/s" has no',
        ),
        (
            one(outputs=f'["rtsp://u:{SECRET}@h:0/day"]'),
            'cameras.yaml:6: cameras[0].outputs[0]: "rtsp://***@h:0/day" has no usable port after the host',
        ),
        (one(url="."), 'cameras.yaml:4: cameras[0].url: "." is a folder, not a file'),
        (one(url=f"viewer:{SECRET}@10.0.0.5/s"), 'cameras.yaml:4: cameras[0].url: "***@10.0.0.5/s"'),
        (one(model="clip.mp4"), 'cameras.yaml:5: cameras[0].model: "clip.mp4": not a checkpoint'),
        (one(model="7"), "cameras.yaml:5: cameras[0].model: must be a path, not 7"),
        (one(model="."), 'cameras.yaml:5: cameras[0].model: "." is a folder, not a checkpoint'),
        (one(model="x" * 300), f'cameras.yaml:5: cameras[0].model: "{"x" * 97}...": '),
        (one(detect="."), 'cameras.yaml:6: cameras[0].detect: "." is a folder, not a model'),
        (one(detect="x" * 300), f'cameras.yaml:6: cameras[0].detect: "{"x" * 97}...": '),
        (
            one(outputs="[[a]]"),
            "cameras.yaml:6: cameras[0].outputs[0]: must be a path or an address, or a mapping",
        ),
        (one(detect="nowhere.pt"), 'cameras.yaml:6: cameras[0].detect: "nowhere.pt": no such model file'),
        (
            one(detect="yes"),
            "cameras.yaml:6: cameras[0].detect: must be false or the path of an ultralytics model "
            "(e.g. weights/vehicles.pt), not yes",
        ),
        (
            one(segment_seconds="true"),
            "cameras.yaml:6: cameras[0].segment_seconds: must be a number, not true",
        ),
        (
            one(segment_seconds=".inf"),
            "cameras.yaml:6: cameras[0].segment_seconds: must be at most 86400, not .inf",
        ),
        (one(segment_seconds="0"), "cameras.yaml:6: cameras[0].segment_seconds: must be more than 0, not 0"),
        (one(segment_seconds="-1e400"), "cameras.yaml:6: cameras[0].segment_seconds: must be "),
        (one(background="{}"), "cameras.yaml:6: cameras[0].background.save: missing"),
        (one(snapshot="day.jpg"), 'cameras.yaml:6: cameras[0].snapshot: "day.jpg" must end in .png'),
        (
            one(snapshot="/proc/nope/a.png"),
            'cameras.yaml:6: cameras[0].snapshot: "/proc/nope/a.png": cannot write to',
        ),
        (one(pace="quick"), "cameras.yaml:6: cameras[0].pace: must be realtime or fast"),
        (one(frames="gpu"), "cameras.yaml:6: cameras[0].frames: must be auto or host"),
        (one() + "    url: other.mp4\n", "cameras.yaml:6: cameras[0].url: given twice, first on line 4"),
        (one() + "defaults: [a]\n", "cameras.yaml:6: defaults: must be a mapping of a camera's keys"),
        (
            one() + "defaults: {name: a}\n",
            "cameras.yaml:6: defaults.name: each camera needs a name of its own",
        ),
        (one() + "defaults:\n  lop: 1\n", 'cameras.yaml:7: defaults.lop: unknown key; did you mean "loop"?'),
        (one(zones="[]"), "cameras.yaml:6: cameras[0].zones: unknown key here; it belongs below `detect:`"),
        (
            one() + "defaults: {track: true}\n",
            "cameras.yaml:6: defaults.track: unknown key here; it belongs below `detect:`",
        ),
        (
            one() + "color: red\n",
            "cameras.yaml:6: color: unknown key; known keys: cameras, engine, learning, http, events, webhooks",
        ),
        (
            one() + "engine: {reuse: on}\n",
            "cameras.yaml:6: engine.reuse: must be auto or off, not on",
        ),
        (
            one() + "engine: {reuse: aut}\n",
            'cameras.yaml:6: engine.reuse: must be auto or off, not "aut"; did you mean "auto"?',
        ),
        (
            one() + "engine: {reuse: 0}\n",
            "cameras.yaml:6: engine.reuse: must be auto or off, not 0",
        ),
        (
            one() + "engine: {max_batch: 2.5}\n",
            "cameras.yaml:6: engine.max_batch: must be a whole number, not 2.5",
        ),
        (one() + "engine: fast\n", 'cameras.yaml:6: engine: must be a mapping (key: value), not "fast"'),
        (
            one() + "    learn: true\n",
            "cameras.yaml:6: cameras[0].learn: true: trains a model of its own in place",
        ),
        (
            "cameras:\n  - {name: gate, url: clip.mp4, translate: never, learn: true}\n",
            "cameras.yaml:2: cameras[0].learn: true: trains what translates, and `translate: never`",
        ),
        (
            one() + "learning: {threads: 0}\n",
            "cameras.yaml:6: learning.threads: must be at least 1, not 0",
        ),
        (
            one() + "learning: {device: gpu}\n",
            'cameras.yaml:6: learning.device: must be auto, cpu or cuda, not "gpu"',
        ),
        (one() + f"? rtsp://u:{SECRET}@h/s\n: 1\n", "cameras.yaml:6: rtsp://***@h/s: unknown key"),
    ],
)
def test_one_fault(faults: Faults, text: str | bytes, fault: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_a_fault_in_defaults_is_told_once(faults: Faults) -> None:
    cameras = "".join(f"  - {{name: c{index}, url: clip.mp4}}\n" for index in range(9))
    text = f"cameras:\n{cameras}defaults:\n  model: nowhere.pt\n  outputs: [x.avi]\n"
    found = faults(text)
    assert [fault.split(": ")[:2] for fault in found] == [
        ["cameras.yaml:12", "defaults.model"],
        ["cameras.yaml:13", "defaults.outputs[0]"],
    ]


@pytest.mark.slow
def test_more_cameras_than_one_process_takes(faults: Faults) -> None:
    text = "cameras:\n" + "  - {}\n" * 1001 + f"defaults: {{{', '.join(f'k{n}: 1' for n in range(5000))}}}\n"
    assert faults(text) == ["cameras.yaml:1: cameras: 1001 cameras are more than the 1000 one process takes"]


def test_a_thousand_wrong_cameras_are_not_a_thousand_lines(faults: Faults) -> None:
    found = faults("cameras:\n" + "  - {colour: 1}\n" * 1000)
    assert len(found) == 51
    assert found[-1] == "and 2950 more faults"


def test_anchors_and_merge_keys(load: Load) -> None:
    text = """\
cameras:
  - &base {name: a, url: clip.mp4, model: gate.pt, pace: fast}
  - {<<: *base, name: b, loop: true}
"""
    a, b = load(text).config.cameras
    assert (a.name, a.loop, b.name, b.loop, b.pace) == ("a", False, "b", True, "fast")


def test_an_alias_bomb_is_refused_at_once(faults: Faults) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert faults("\n".join(lines)) == ["cameras.yaml:1: more than 50000 values, aliases counted as used"]


@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "cameras\0.yaml", f"rtsp://u:{SECRET}@h/s"])
def test_a_file_that_cannot_be_read(path: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(path)
    (fault,) = error.value.faults
    assert "cannot be read" in fault
    assert SECRET not in fault


def test_documents_at_random(load: Load, faults: Faults) -> None:
    """Good files with bytes changed, cut, doubled and swapped: a configuration or faults, nothing else."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    words = "' \" [ ] { } : - \n \t &a *a !!int !!binary ${ | % \\x é null ~ 0x 1e999 .nan <<: ? # \0 2026-13-45 1:99"
    pieces = [piece + end for piece in words.split(" ") for end in ("", " ")]
    for _ in range(300):
        text = GOOD.replace("gate.pt", "nowhere.pt")
        for _ in range(rng.randint(1, 6)):
            place, end = sorted(rng.choices(range(len(text)), k=2))
            match rng.randrange(4):
                case 0:
                    text = text[:place] + rng.choice(pieces) + text[place:]
                case 1:
                    text = text[:place] + text[min(end, place + 12) :]
                case 2:
                    text = text[:end] + text[place : place + 40] + text[end:]
                case _:
                    text = text[:place] + chr(rng.randrange(256)) + text[place + 1 :]
        with contextlib.suppress(ConfigError):
            load(text, GATE_PASSWORD=SECRET)
            continue
        for fault in faults(text, GATE_PASSWORD=SECRET):
            assert fault.startswith("cameras.yaml:")


@pytest.mark.parametrize(
    "location", ["[91, 0]", '"51.5, -0.1"', "{lat: 51}", "[1]", "[51.5, -0.1, 3]", "[.nan, 0]", "[0, 181]"]
)
def test_a_wrong_location_says_what_it_should_be(tmp_path: Path, location: str) -> None:
    file = tmp_path / "cameras.yaml"
    camera = f"{{name: gate, url: 'rtsp://10.0.0.5/s', translate: never, location: {location}}}"
    file.write_text(f"cameras:\n  - {camera}\n")
    with pytest.raises(
        ConfigError, match=r"location.*: must be \[latitude, longitude\] in degrees"
    ) as refused:
        load_config(file)
    assert len(refused.value.faults) == 1
