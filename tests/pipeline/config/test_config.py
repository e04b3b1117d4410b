"""Configuration files: every fault at once, each at its line, never a traceback and never a secret."""

import contextlib
import random
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import GeneratorSettings, NightToDay
from nightday.pipeline.config import schema as config_module
from nightday.pipeline.config.load import LoadedConfig, load_config
from nightday.pipeline.config.messages import ConfigError
from nightday.pipeline.config.yaml_document import LARGEST
from nightday.pipeline.core.camera_url import CameraUrl, redact
from nightday.pipeline.outputs.mp4.limits import Limits

SECRET = "Zk9q7Wx2"
Load = Callable[..., LoadedConfig]
Faults = Callable[..., list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint and something to play."""
    folder = tmp_path_factory.mktemp("config")
    torch.manual_seed(0)
    save_checkpoint(folder / "gate.pt", NightToDay(GeneratorSettings(blocks=1, width=4)))
    (folder / "clip.mp4").write_bytes(b"not looked into")
    (folder / "text.pt").write_text("not a checkpoint")
    return folder


@pytest.fixture
def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(folder)

    def load(text: str | bytes, *overrides: str, **environment: str) -> LoadedConfig:
        data = text if isinstance(text, bytes) else text.encode()
        (folder / "cameras.yaml").write_bytes(data)
        return load_config("cameras.yaml", overrides=overrides, environment=environment)

    return load


@pytest.fixture
def faults(load: Load) -> Faults:
    def faults(text: str | bytes, *overrides: str, **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as error:
            load(text, *overrides, **environment)
        for fault in error.value.faults:
            assert "\n" not in fault
            assert "Traceback" not in fault
            assert SECRET not in fault
        return list(error.value.faults)

    return faults


GOOD = """\
cameras:
  - name: gate
    url: rtsp://viewer:${GATE_PASSWORD}@10.0.0.5/stream1
    outputs: [out/gate/%Y%m%d-%H%M%S.mp4, "rtsp://127.0.0.1:8554/gate-day"]
  - {name: yard, url: clip.mp4, translate: never, loop: true, pace: fast}
defaults:
  model: gate.pt
  snapshot: out/{name}.png
  background: {save: "out/{name}-bg.png", frames: 9}
engine: {backend: eager, max_batch: 4}
"""


def test_a_good_file(load: Load) -> None:
    config = load(GOOD, GATE_PASSWORD=SECRET).config
    gate, yard = config.cameras
    assert gate.url.reveal() == f"rtsp://viewer:{SECRET}@10.0.0.5/stream1"
    assert gate.translate == "night"
    assert [output.reveal() for output in gate.outputs] == [
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
      - rtmp://host/app/{SECRET}
  - name: yard
    url: clip.mp4
    model: nowhere.pt
    translate: no
  - url: device:one
    outputs: [clip.mp4/x.mp4]
engine: {{backend: tensorflow, max_batch: 0}}
mqtt: {{url: x}}
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
        16: ['cameras[1].outputs[1]: "rtmp://host/app/***": rtmp outputs are not built in yet'],
        17: ["cameras[2].name: 'yard' is the name of cameras[1] already"],
        19: ['cameras[2].model: "nowhere.pt": no such checkpoint'],
        20: ["cameras[2].translate: must be night, always or never, not no"],
        21: [
            "cameras[3].model: missing",
            "cameras[3].name: missing",
            'cameras[3].url: must be device: and a number (e.g. device:0), not "device:one"',
        ],
        22: ['cameras[3].outputs[0]: "clip.mp4/x.mp4": cannot write to clip.mp4: '],
        23: [
            "engine.backend: must be auto, eager, compile, openvino or tensorrt, "
            'not "tensorflow"; did you mean "tensorrt"?',
            "engine.max_batch: must be at least 1, not 0",
        ],
        24: ["mqtt: not built in this version; remove it"],
    }
    found = faults(text)
    wanted = [f"cameras.yaml:{line}: {start}" for line, starts in expected.items() for start in starts]
    for fault, start in zip(found, wanted, strict=True):
        assert fault.startswith(start)


def one(**keys: str) -> str:
    """A file with one camera, of these keys and values as YAML."""
    keys = {"name": "gate", "url": "clip.mp4", "model": "gate.pt"} | keys
    return "cameras:\n  -\n" + "".join(f"    {key}: {value}\n" for key, value in keys.items() if value)


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
            "cameras.yaml:6: cameras[0].outputs[0]: must be a path or an address, not a list",
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
        (one(zones="[]"), "cameras.yaml:6: cameras[0].zones: not built in this version; remove it"),
        (one() + "defaults: {track: true}\n", "cameras.yaml:6: defaults.track: not built in this version"),
        (one() + "mqtt: {url: x}\n", "cameras.yaml:6: mqtt: not built in this version; remove it"),
        (
            one() + "color: red\n",
            "cameras.yaml:6: color: unknown key; known keys: cameras, engine, http, defaults",
        ),
        (
            one() + "engine: {max_batch: 2.5}\n",
            "cameras.yaml:6: engine.max_batch: must be a whole number, not 2.5",
        ),
        (one() + "engine: fast\n", 'cameras.yaml:6: engine: must be a mapping (key: value), not "fast"'),
        (one() + f"? rtsp://u:{SECRET}@h/s\n: 1\n", "cameras.yaml:6: rtsp://***@h/s: unknown key"),
    ],
)
def test_one_fault(faults: Faults, text: str | bytes, fault: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(fault)


class TestHttp:
    def test_it_is_off_unless_asked_for_and_then_on_loopback(self, load: Load) -> None:
        assert load(one()).config.http is None
        assert load(one() + "http:\n").config.http is None
        http = load(one() + "http: {}\n").config.http
        assert http is not None
        assert (http.host, http.port, http.token) == ("127.0.0.1", 8080, None)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", '"::1"', "localhost", "LOCALHOST"])
    def test_loopback_needs_no_token(self, load: Load, host: str) -> None:
        assert load(one() + f"http: {{host: {host}}}\n").config.http is not None

    @pytest.mark.parametrize(
        "host",
        ["0.0.0.0", '"::"', "10.0.0.9", '"fe80::1%eth0"', "localhost.evil.org", '"127.1"'],
    )
    def test_other_hosts_need_one(self, load: Load, faults: Faults, host: str) -> None:
        shown = host if '"' in host else f'"{host}"'
        wanted = (
            f"cameras.yaml:8: http.host: {shown} is reached from other machines, so whoever asks "
            "must show a token; add `token: ${NIGHTDAY_TOKEN}` under http"
        )
        for token in ("", "  token:\n"):
            (fault,) = faults(one() + f"http:\n  port: 0\n  host: {host}\n{token}")
            assert fault == wanted
        text = one() + f"http: {{host: {host}, token: '${{TOKEN}}'}}\n"
        http = load(text, TOKEN=f"{SECRET}-{secrets.token_hex(8)}").config.http
        assert http is not None
        assert http.token is not None

    def test_the_token_is_shown_nowhere(self, load: Load) -> None:
        token = f"{secrets.token_urlsafe(12)}-{SECRET}"
        config = load(one() + "http:\n  token: ${TOKEN}\n", TOKEN=token).config
        assert config.http is not None
        assert config.http.token is not None
        assert config.http.token.get_secret_value() == token
        assert config.dump()["http"] == {"token": "***", "host": "127.0.0.1", "port": 8080}
        assert token not in repr(config) + str(config) + str(config.dump())
        assert redact(f"asked for /metrics?t={token} and {token}.") == "asked for /metrics?t=*** and ***."

    @pytest.mark.parametrize(
        ("lines", "fault"),
        [
            (
                "  token: Zk9q7Wx\n",
                "7: http.token: must be 8 or more letters, digits and signs without blanks",
            ),
            (f'  token: "{SECRET} {SECRET}"\n', "7: http.token: must be 8 or more"),
            (f'  token: "{SECRET}é"\n', "7: http.token: must be 8 or more"),
            ("  token: 1234567890\n", "7: http.token: must be text (put it in quotes), not ***"),
            (f"  token: [{SECRET}]\n", "7: http.token: must be text (put it in quotes), not a list"),
            ("  host: 0.0.0.0\n  token: ${TOKEN}\n", "8: http.token: ${TOKEN} is not set"),
            (f"  tokn: {SECRET}\n", '7: http.tokn: unknown key; did you mean "token"?'),
            ("  host: 127.0.0.1:8080\n", '7: http.host: "127.0.0.1:8080" is no address; give one such as'),
            ("  host: http://localhost\n", '7: http.host: "http://localhost" is no address'),
            ('  host: "[::1]"\n', '7: http.host: "[::1]" is no address'),
            ("  host: [a]\n", "7: http.host: must be an address of this machine, not a list"),
            ("  host: ''\n", "7: http.host: is empty; it must be an address"),
            ("  port: 65536\n", "7: http.port: must be at most 65535, not 65536"),
            ("  port: true\n", "7: http.port: must be a number, not true"),
        ],
    )
    def test_faults(self, faults: Faults, lines: str, fault: str) -> None:
        (found,) = faults(one() + "http:\n" + lines)
        assert found.startswith(f"cameras.yaml:{fault}")
        assert "1234567890" not in found
        assert "Zk9q7Wx" not in found


def test_a_fault_in_defaults_is_told_once(faults: Faults) -> None:
    cameras = "".join(f"  - {{name: c{index}, url: clip.mp4}}\n" for index in range(9))
    text = f"cameras:\n{cameras}defaults:\n  model: nowhere.pt\n  outputs: [x.avi]\n"
    found = faults(text)
    assert [fault.split(": ")[:2] for fault in found] == [
        ["cameras.yaml:12", "defaults.model"],
        ["cameras.yaml:13", "defaults.outputs[0]"],
    ]


def test_more_cameras_than_one_process_takes(faults: Faults) -> None:
    text = "cameras:\n" + "  - {}\n" * 1001 + f"defaults: {{{', '.join(f'k{n}: 1' for n in range(5000))}}}\n"
    assert faults(text) == ["cameras.yaml:1: cameras: 1001 cameras are more than the 1000 one process takes"]


def test_a_thousand_wrong_cameras_are_not_a_thousand_lines(faults: Faults) -> None:
    found = faults("cameras:\n" + "  - {colour: 1}\n" * 1000)
    assert len(found) == 51
    assert found[-1] == "and 3950 more faults"


def test_files_that_two_cameras_would_write(faults: Faults, load: Load) -> None:
    text = (
        "cameras:\n  - {name: a, url: clip.mp4}\n  - {name: b, url: clip.mp4}\n"
        "defaults: {model: gate.pt, outputs: ['out/%s.mp4'], snapshot: './out/%s.png'}\n"
    )
    found = faults(text % ("day", "../out/day"))
    assert found == [
        "cameras.yaml:4: defaults.outputs[0]: cameras[0] writes there too; put {name} into the name",
        "cameras.yaml:4: defaults.snapshot: cameras[0] writes there too; put {name} into the name",
    ]
    load(text % ("{name}", "{name}"))


@pytest.mark.parametrize(
    ("a", "b", "place"),
    [
        ("outputs: [out/x.mp4]", "outputs: ['{here}/out/x.mp4']", "outputs[0]"),
        ("outputs: [out/x.mp4]", "outputs: [link/x.mp4]", "outputs[0]"),
        ("background: {save: out/x.png}", "background: {save: './out/x.png'}", "background.save"),
        ("background: {save: out/x.png}", "background: {save: out/x.PNG}", "background.save"),  # one x.state
        ("background: {save: out/x.png}", "snapshot: out/x.png", "snapshot"),
        ("outputs: ['rtsp://h/day']", "outputs: ['rtsp://u:pa55@h/day']", "outputs[0]"),
        ("outputs: ['rtsp://h/day']", "outputs: ['RTSP://H:554/day/']", "outputs[0]"),
    ],
)
def test_one_target_under_two_names(faults: Faults, folder: Path, a: str, b: str, place: str) -> None:
    (folder / "out").mkdir(exist_ok=True)
    (folder / "link").unlink(missing_ok=True)
    (folder / "link").symlink_to("out")
    b = b.replace("{here}", str(folder))
    found = faults(
        f"cameras:\n  - {{name: a, url: clip.mp4, {a}}}\n  - {{name: b, url: clip.mp4, {b}}}\n"
        "defaults: {model: gate.pt}\n"
    )
    assert found == [
        f"cameras.yaml:3: cameras[1].{place}: cameras[0] writes there too; put {{name}} into the name"
    ]


def test_targets_that_only_look_alike(load: Load) -> None:
    load(
        "cameras:\n  - {name: a, url: clip.mp4, outputs: ['rtsp://h/day', 'rtsp://h:8554/day', 'rtsp://h/Day']}\n"
        "  - {name: b, url: clip.mp4, background: {save: out/x.png}, snapshot: out/X.png}\n"
        "defaults: {model: gate.pt}\n"
    )


@pytest.mark.parametrize(
    ("url", "output"), [("rtsp://u:pa55@h/s", "rtsp://h:554/s"), ("clip.mp4", "./clip.mp4")]
)
def test_a_camera_sent_back_to_where_it_comes_from(faults: Faults, url: str, output: str) -> None:
    found = faults(f"cameras:\n  - {{name: a, url: '{url}', model: gate.pt, outputs: ['{output}']}}\n")
    assert found == [
        "cameras.yaml:2: cameras[0].outputs[0]: is what this camera reads; name another",
    ]


class TestNames:
    """``{name}``, by which one line of ``defaults`` serves every camera."""

    def test_it_is_filled_in_wherever_a_path_or_an_address_is(self, load: Load, folder: Path) -> None:
        for name in ("a", "b"):
            (folder / f"{name}.mp4").write_bytes(b"")
            (folder / f"model-{name}.pt").write_bytes((folder / "gate.pt").read_bytes())
        text = """\
cameras:
  - {name: a}
  - {name: b, url: "rtsp://{name}:{x}${PASSWORD}@h/{name}?{y}", outputs: ["rtsp://u:{z}@h/{name}"]}
defaults:
  url: "{name}.mp4"
  model: model-{name}.pt
  detect: model-{name}.pt
  outputs: ["${FOLDER}/{name}/%H.mp4"]
"""
        a, b = load(text, PASSWORD="{name}", FOLDER="{out}").config.cameras
        assert (a.url.reveal(), a.model, a.detect) == ("a.mp4", Path("model-a.pt"), Path("model-a.pt"))
        assert [output.reveal() for output in a.outputs] == ["{out}/a/%H.mp4"]
        assert b.model == Path("model-b.pt")
        assert b.url.reveal() == "rtsp://b:{x}{name}@h/b?{y}"
        assert [output.reveal() for output in b.outputs] == ["rtsp://u:{z}@h/b"]

    def test_a_missing_model_of_defaults_says_whose(self, faults: Faults) -> None:
        text = "cameras:\n" + "".join(f"  - {{name: {name}, url: clip.mp4}}\n" for name in ("gate", "yard"))
        (found,) = faults(text + "defaults:\n  model: '{name}.pt'\n")
        assert found.startswith('cameras.yaml:5: defaults.model: "yard.pt": no such checkpoint')

    @pytest.mark.parametrize("key", ["model", "detect", "snapshot", "outputs", "background"])
    def test_other_placeholders_are_faults(self, faults: Faults, key: str) -> None:
        value = "'out/{nam}.mp4'"
        value = {"outputs": f"[{value}]", "background": f"{{save: {value}}}"}.get(key, value)
        place = key + {"outputs": "[0]", "background": ".save"}.get(key, "")
        cameras = "cameras:\n" + "".join(
            f"  - {{name: c{n}, url: clip.mp4, translate: never}}\n" for n in (1, 2)
        )
        assert faults(cameras + f"defaults:\n  {key}: {value}\n") == [
            f"cameras.yaml:5: defaults.{place}: {{nam}} stands for nothing; only {{name}}, the camera's name, "
            'is filled in; did you mean "{name}"?'
        ]


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


class TestEnvironment:
    def test_a_missing_one_is_an_error_with_its_line(self, faults: Faults) -> None:
        assert faults(GOOD) == [
            "cameras.yaml:3: cameras[0].url: ${GATE_PASSWORD} is not set; set GATE_PASSWORD, or "
            "GATE_PASSWORD_FILE to a file that holds it"
        ]

    def test_its_name_is_shown_beside_another_fault_of_the_address(self, faults: Faults) -> None:
        (fault,) = faults(one(url="rtsp://u:${GATE_LOGIN}@h:0/s"))
        assert fault.startswith(
            "cameras.yaml:4: cameras[0].url: ${GATE_LOGIN} is not set; set GATE_LOGIN, or"
        )

    def test_from_a_file(self, load: Load, faults: Faults, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text(f"{SECRET}\n")
        url = load(GOOD, GATE_PASSWORD_FILE=str(path)).config.cameras[0].url
        assert url.reveal() == f"rtsp://viewer:{SECRET}@10.0.0.5/stream1"
        path.unlink()
        (fault,) = faults(GOOD, GATE_PASSWORD_FILE=str(path))
        assert fault == (
            "cameras.yaml:3: cameras[0].url: ${GATE_PASSWORD}: GATE_PASSWORD_FILE is "
            f"{path}, which cannot be read: No such file or directory"
        )

    def test_from_a_systemd_credential_unless_the_environment_has_it(
        self, load: Load, tmp_path: Path
    ) -> None:
        (tmp_path / "GATE_PASSWORD").write_text(f"{SECRET}\n")
        url = load(GOOD, CREDENTIALS_DIRECTORY=str(tmp_path)).config.cameras[0].url
        assert url == CameraUrl(f"rtsp://viewer:{SECRET}@10.0.0.5/stream1")
        url = load(GOOD, CREDENTIALS_DIRECTORY=str(tmp_path), GATE_PASSWORD="nearer").config.cameras[0].url
        assert url == CameraUrl("rtsp://viewer:nearer@10.0.0.5/stream1")

    @pytest.mark.parametrize("value", ["p@ss/w:rd#?", "a b", "${OTHER}", "'\"", "x: y", "*a", "%41"])
    def test_any_password_goes_through_as_it_is(self, load: Load, value: str) -> None:
        camera = load(GOOD, GATE_PASSWORD=value).config.cameras[0]
        assert camera.url == CameraUrl(f"rtsp://viewer:{value}@10.0.0.5/stream1")
        assert str(camera.url) == "rtsp://***@10.0.0.5/stream1"

    def test_what_it_put_into_a_wrong_value_is_shown_as_written(self, faults: Faults) -> None:
        assert faults(one(url="${GATE_PASSWORD}"), GATE_PASSWORD=SECRET) == [
            'cameras.yaml:4: cameras[0].url: "${GATE_PASSWORD}": no such file'
        ]
        (fault,) = faults(one(url='"rtps://h/${TOKEN}"'), TOKEN=SECRET)
        assert fault.startswith('cameras.yaml:4: cameras[0].url: "rtps://h/${TOKEN}": rtps: is no kind')

    def test_a_token_in_a_path_is_masked_and_a_host_is_not(self, load: Load) -> None:
        text = one(url="rtsp://${HOST}:${PORT}/live/${TOKEN}")
        url = load(text, HOST="cam.example", PORT="8554", TOKEN=SECRET).config.cameras[0].url
        assert str(url) == "rtsp://cam.example:8554/live/***"

    def test_numbers_and_truth_values(self, load: Load) -> None:
        text = one(segment_seconds="${S}", loop="${L}", detect="${D}")
        camera = load(text, S="5", L="true", D="false").config.cameras[0]
        assert (camera.segment_seconds, camera.loop, camera.detect) == (5.0, True, False)

    @pytest.mark.parametrize("text", ["${}", "${1A}", "${A-b}", "${A"])
    def test_malformed(self, faults: Faults, text: str) -> None:
        assert faults(one(url=f"'{text}'")) == [
            f"cameras.yaml:4: cameras[0].url: {text} is no variable; write ${{NAME}}"
        ]


class TestOverrides:
    def test_they_reach_everything(self, load: Load) -> None:
        config = load(
            GOOD,
            "engine.backend=openvino",
            "cameras.gate.translate=always",
            "cameras.1.loop=false",
            "cameras.gate.outputs=[a.mp4, 'b-%Y.mp4']",
            "cameras.yard.background.frames=3",
            "cameras.gate.url=rtsp://u:${P}@h/%20",
            "defaults.segment_seconds=5",
            GATE_PASSWORD="",
            P="x",
        ).config
        gate, yard = config.cameras
        assert config.engine.backend == "openvino"
        assert (gate.translate, yard.loop, gate.segment_seconds) == ("always", False, 5)
        assert [output.reveal() for output in gate.outputs] == ["a.mp4", "b-%Y.mp4"]
        assert yard.background is not None
        assert (yard.background.frames, yard.background.save) == (3, Path("out/yard-bg.png"))
        assert gate.url.reveal() == "rtsp://u:x@h/%20"

    def test_one_makes_up_for_what_the_file_lacks(self, load: Load) -> None:
        config = load(one(model=""), "cameras.gate.model=gate.pt", "engine.max_batch=2").config
        assert (config.cameras[0].model, config.engine.max_batch) == (Path("gate.pt"), 2)

    def test_no_value_means_the_default(self, load: Load) -> None:
        assert load(one(loop="true")).config.cameras[0].loop
        assert not load(one(loop="true"), "cameras.gate.loop=").config.cameras[0].loop

    def test_a_name_made_of_digits_goes_before_a_place(self, load: Load) -> None:
        text = "cameras:\n" + "".join(
            f"  - {{name: '{name}', url: clip.mp4, model: gate.pt}}\n" for name in ("1", "0")
        )
        first, second = load(text, "cameras.1.loop=true").config.cameras
        assert (first.loop, second.loop) == (True, False)

    @pytest.mark.parametrize(
        ("override", "fault"),
        [
            ("engine.backnd=eager", '--set: engine.backnd: unknown key; did you mean "backend"?'),
            (
                "engine.backend=egaer",
                '--set: engine.backend: must be auto, eager, compile, openvino or tensorrt, not "egaer"; did',
            ),
            ("cameras.gat.loop=true", "--set: cameras: no camera 'gat'; did you mean \"gate\"?"),
            ("cameras.7.loop=true", "--set: cameras: no camera '7'"),
            ("cameras.gate.url.x=1", "--set: cameras[0].url: has no keys under it, so x cannot be set"),
            ("cameras.gate.outputs=[a.mp4", "--set: cameras[0].outputs: not YAML: "),
            ("cameras.gate.model=${NOPE}", "--set: cameras[0].model: ${NOPE} is not set"),
            ("engine", "--set: 'engine' is not of the form path.to.it=value"),
            ("=1", "--set: '' is not of the form"),
            ("engine..backend=eager", "--set: 'engine..backend' is not of the form"),
            (
                f"cameras.gate.url=rtps://u:{SECRET}@h/s",
                '--set: cameras[0].url: "rtps://***@h/s": rtps: is no kind',
            ),
        ],
    )
    def test_faults_say_set(self, faults: Faults, override: str, fault: str) -> None:
        found = faults(one(), override)
        assert len(found) == 1
        assert found[0].startswith(fault)


def test_retention_is_a_cameras_own_or_a_default(load: Load) -> None:
    text = """\
cameras:
  - {name: gate, url: clip.mp4, translate: never, outputs: ["out/%F/%T.mp4"], retention: {days: 0.5}}
  - {name: yard, url: clip.mp4, translate: never}
defaults: {retention: {days: 7, gigabytes: 20}}
"""
    gate, yard = load(text).config.cameras
    assert gate.retention is not None
    assert yard.retention is not None
    assert gate.retention.limits == Limits(days=0.5, gigabytes=20)
    assert yard.retention.limits == Limits(days=7, gigabytes=20)
    assert load(one()).config.cameras[0].retention is None


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        ("{}", "retention: a mapping has no limit; add days"),
        ("{days: 0}", "retention.days: must be more than 0, not 0"),
        ("{days: true}", "retention.days: must be a number"),
        ("{days: 1, gigabites: 2}", 'retention.gigabites: unknown key; did you mean "gigabytes"?'),
        ("{gigabytes: 20GB}", "retention.gigabytes: must be a number"),
        ("{gigabytes: .nan}", "retention.gigabytes: must be"),
    ],
)
def test_a_retention_that_makes_no_sense(faults: Faults, retention: str, said: str) -> None:
    (fault,) = faults(one(retention=retention))
    assert said in fault


def test_retention_needs_names_that_can_be_read_back(faults: Faults) -> None:
    (fault,) = faults(one(outputs="[out/%s.mp4]", retention="{days: 7}"))
    assert fault.startswith("cameras.yaml:7: cameras[0].retention: a mapping: retention cannot read %s back")


@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "cameras\0.yaml", f"rtsp://u:{SECRET}@h/s"])
def test_a_file_that_cannot_be_read(path: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(path)
    (fault,) = error.value.faults
    assert "cannot be read" in fault
    assert SECRET not in fault


def test_detection_without_its_extra_says_how_to_install_it(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module.importlib.util, "find_spec", lambda name: None)
    assert faults(one(detect="text.pt")) == [
        'cameras.yaml:6: cameras[0].detect: "text.pt": detection needs ultralytics; install it with: '
        "pip install -c requirements.lock -e '.[detect]'  (in the checkout)"
    ]


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


class TestCollect:
    """``collect``: a section, or a folder alone, in a camera or in the defaults."""

    CAMERA = "  - name: {name}\n    url: rtsp://10.0.0.5/{name}\n"

    def cameras(self, *extra: str) -> str:
        return "cameras:\n" + "".join(
            self.CAMERA.format(name=name) + lines
            for name, lines in zip(("gate", "yard"), extra, strict=False)
        )

    def test_a_folder_alone_has_the_defaults(self, load: Load) -> None:
        gate, yard = load(
            self.cameras(
                "    collect: training/{name}\n", "    collect: {folder: t, every_s: 30, keep: 20}\n"
            )
        ).config.cameras
        assert gate.collect is not None
        assert (gate.collect.folder, gate.collect.every_s, gate.collect.keep) == (
            Path("training/gate"),
            60,
            500,
        )
        assert yard.collect is not None
        assert (yard.collect.folder, yard.collect.every_s, yard.collect.keep) == (Path("t"), 30, 20)
        assert not Path("training").exists()

    def test_defaults_and_cameras_may_write_either(self, load: Load) -> None:
        defaults = "defaults:\n  collect: training/{name}\n"
        gate, yard = load(self.cameras("    collect: {keep: 50}\n", "") + defaults).config.cameras
        assert gate.collect is not None
        assert yard.collect is not None
        assert (gate.collect.folder, gate.collect.keep) == (Path("training/gate"), 50)
        assert (yard.collect.folder, yard.collect.keep) == (Path("training/yard"), 500)
        defaults = 'defaults:\n  collect: {folder: "training/{name}", keep: 50}\n'
        (gate,) = load(self.cameras("    collect: elsewhere\n") + defaults).config.cameras
        assert gate.collect is not None
        assert (gate.collect.folder, gate.collect.keep) == (Path("elsewhere"), 50)
        (gate,) = load(self.cameras("") + defaults, "cameras.gate.collect=there").config.cameras
        assert gate.collect is not None
        assert gate.collect.folder == Path("there")

    def test_a_camera_that_only_collects_needs_no_model(self, load: Load, faults: Faults) -> None:
        load(self.cameras("    collect: training/{name}\n"))
        (fault,) = faults(self.cameras("    collect: training/{name}\n    outputs: [out.mp4]\n"))
        assert fault.startswith("cameras.yaml:2: cameras[0].model: missing; ")

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            ("clip.mp4/gate", 'collect: "clip.mp4/gate": cannot write to clip.mp4/gate: Not a directory'),
            ("{folder: clip.mp4}", 'collect.folder: "clip.mp4": cannot write to clip.mp4: Not a directory'),
            ("training/%Y", 'collect: "training/%Y" holds a %, which stands for nothing here; {name}, the '
             "camera's name, is filled in"),
            ("{keep: 20}", "collect.folder: missing"),
            ("{folder: t, keep: 5}", "collect.keep: must be at least 10, not 5"),
            ("{folder: t, keep: lots}", 'collect.keep: must be a whole number, not "lots"'),
            ("{folder: t, every_s: 1}", "collect.every_s: must be at least 10, not 1"),
            ("{folder: t, evry_s: 60}", 'collect.evry_s: unknown key; did you mean "every_s"?'),
            ("7", "collect: must be a mapping (key: value), not 7"),
            ('""', "collect: is empty; it must be a path"),
        ],
    )  # fmt: skip
    def test_faults(self, faults: Faults, value: str, fault: str) -> None:
        assert faults(self.cameras(f"    collect: {value}\n    translate: never\n")) == [
            f"cameras.yaml:4: cameras[0].{fault}"
        ]

    def test_two_cameras_do_not_share_a_folder(self, faults: Faults) -> None:
        assert faults(self.cameras("    collect: training\n", "    collect: {folder: ./training/}\n")) == [
            "cameras.yaml:7: cameras[1].collect.folder: cameras[0] writes there too; put {name} into the name"
        ]
