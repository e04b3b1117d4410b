"""Sections of a configuration: http, retention, detect and collect."""

from __future__ import annotations

import importlib.util
import secrets
from pathlib import Path

import pytest

from nightday.engines.bundled import bundled_weights
from nightday.pipeline.config.load import load_config
from nightday.pipeline.core.camera_url import redact
from nightday.pipeline.core.state_folder import SIGNING_KEY
from nightday.pipeline.outputs.mp4.limits import Limits
from tests.pipeline.config.documents import SECRET, Faults, Load, one


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


def test_signing_needs_a_library(load: Load, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(one(provenance="true")).config.cameras[0].provenance is True
    assert load(one()).config.cameras[0].provenance is False
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "cryptography" else real(name, *rest)
    )
    (fault,) = faults(one(provenance="true"))
    assert fault.startswith(
        "cameras.yaml:6: cameras[0].provenance: true needs cryptography; install it with: pip install"
    )
    assert "[provenance]" in fault
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "c2pa" else real(name, *rest)
    )
    (fault,) = faults(one(provenance="c2pa"))
    assert fault.startswith(
        'cameras.yaml:6: cameras[0].provenance: "c2pa" needs c2pa-python; install it with: pip install'
    )
    assert "[c2pa]" in fault


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("true", True),
        ("yes", True),
        ('"on"', True),
        ("off", False),
        ('"false"', False),
        ("c2pa", "c2pa"),
        ("C2PA", "c2pa"),
    ],
)
def test_how_recordings_are_signed(load: Load, given: str, meant: object) -> None:
    assert load(one(provenance=given)).config.cameras[0].provenance == meant


@pytest.mark.parametrize("given", ["maybe", "2", "[c2pa]", "{c2pa: true}", '""'])
def test_what_is_no_way_to_sign(faults: Faults, given: str) -> None:
    (fault,) = faults(one(provenance=given))
    assert fault.startswith("cameras.yaml:6: cameras[0].provenance: must be true, false or c2pa")


def test_signing_needs_a_place_for_its_key_unless_there_is_one(
    load: Load, faults: Faults, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    state = tmp_path / "file" / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    (fault,) = faults(one(provenance="true"))
    assert fault == (
        "cameras.yaml:6: cameras[0].provenance: true needs a key, for which there is no place: cannot write to "
        f"{state}: Not a directory; set STATE_DIRECTORY to another folder"
    )
    # A key that is there already need not be written again.
    (tmp_path / SIGNING_KEY).touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("nightday.pipeline.config.fields.folder_fault", lambda folder: "cannot write to it")
    assert load(one(provenance="true")).config.cameras[0].provenance is True


@pytest.mark.parametrize("off", ["off", "Off", "OFF", '"off"', "no", "false", '"${REUSE}"'])
def test_reuse_is_off_however_yaml_reads_that(load: Load, off: str) -> None:
    assert load(one() + f"engine: {{reuse: {off}}}\n", REUSE="off").config.engine.reuse == "off"


def test_reuse_is_auto_unless_it_is_off(load: Load) -> None:
    for text in ("", "engine:\n", "engine: {reuse: auto}\n", "engine: {reuse:}\n"):
        assert load(one() + text).config.engine.reuse == "auto"
    config = load(one(), "engine.reuse=off").config
    assert config.engine.reuse == "off"
    assert config.dump()["engine"]["reuse"] == "off"


def test_detection_without_its_extra_says_how_to_install_it(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert faults(one(detect="text.pt")) == [
        'cameras.yaml:6: cameras[0].detect: "text.pt": detection needs ultralytics; install it with: '
        "pip install -c requirements.lock -e '.[detect]'  (in the checkout)"
    ]


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

    def test_a_camera_that_only_collects_is_not_translated(self, load: Load) -> None:
        gate, yard = load(
            self.cameras("    collect: training/{name}\n", "    collect: t\n    outputs: [out.mp4]\n")
        ).config.cameras
        assert gate.checkpoint is None
        assert yard.checkpoint == bundled_weights("general.pt")

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            ("clip.mp4/gate", 'collect: "clip.mp4/gate": cannot write to clip.mp4/gate: Not a directory'),
            ("{folder: clip.mp4}", 'collect.folder: "clip.mp4": cannot write to clip.mp4: Not a directory'),
            (
                "training/%Y",
                'collect: "training/%Y" holds a %, which stands for nothing here; {name}, the '
                "camera's name, is filled in",
            ),
            ("{keep: 20}", "collect.folder: missing"),
            ("{folder: t, keep: 5}", "collect.keep: must be at least 10, not 5"),
            ("{folder: t, keep: lots}", 'collect.keep: must be a whole number, not "lots"'),
            ("{folder: t, every_s: 1}", "collect.every_s: must be at least 10, not 1"),
            ("{folder: t, evry_s: 60}", 'collect.evry_s: unknown key; did you mean "every_s"?'),
            ("7", "collect: must be a mapping (key: value), not 7"),
            ('""', "collect: is empty; it must be a path"),
        ],
    )
    def test_faults(self, faults: Faults, value: str, fault: str) -> None:
        assert faults(self.cameras(f"    collect: {value}\n    translate: never\n")) == [
            f"cameras.yaml:4: cameras[0].{fault}"
        ]

    def test_two_cameras_do_not_share_a_folder(self, faults: Faults) -> None:
        assert faults(self.cameras("    collect: training\n", "    collect: {folder: ./training/}\n")) == [
            "cameras.yaml:7: cameras[1].collect.folder: cameras[0] writes there too; put {name} into the name"
        ]


class TestModel:
    def test_the_general_model_is_the_default_and_is_not_opened_to_check_a_file(self, load: Load) -> None:
        opened: list[Path] = []
        general = bundled_weights("general.pt")
        assert general.is_file()
        for model, path in (
            ("", general),
            ("auto", general),
            ('"auto"', general),
            ("gate.pt", Path("gate.pt")),
        ):
            load(one(model=model, outputs="[out.mp4]"))
            (gate,) = load_config("cameras.yaml", check_model=opened.append).config.cameras
            assert (str(gate.model), gate.checkpoint) == (model.strip('"') or "auto", path)
        assert opened == [Path("gate.pt")]

    @pytest.mark.parametrize(
        ("keys", "translated"),
        [
            ({"outputs": "[out.mp4]"}, True),
            ({"snapshot": "side.png"}, True),
            ({}, False),
            ({"collect": "t"}, False),
            ({"outputs": "[out.mp4]", "translate": "never"}, False),
        ],
    )
    def test_nothing_is_translated_that_nobody_sees(
        self, load: Load, keys: dict[str, str], translated: bool
    ) -> None:
        (gate,) = load(one(model="auto", **keys)).config.cameras
        assert (gate.checkpoint is not None) is translated
        (tuned,) = load(one(**keys)).config.cameras  # a model that is named is used, as ever
        assert tuned.checkpoint == (None if keys.get("translate") == "never" else Path("gate.pt"))

    def test_it_is_shown_as_it_was_written(self, load: Load) -> None:
        assert load(one(model="", outputs="[out.mp4]")).config.dump()["cameras"][0]["model"] == "auto"

    def test_a_checkpoint_that_is_missing_is_told_of_the_other_way(self, faults: Faults) -> None:
        (fault,) = faults(one(model="Auto"))
        assert fault.endswith(
            'cameras[0].model: "Auto": no such checkpoint; nightday-train makes them, and "auto" stands for the '
            "general model"
        )


def test_a_certificate_is_for_an_encrypted_camera(load: Load, faults: Faults) -> None:
    Path("camera.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    text = "cameras:\n  - name: gate\n    url: {}://10.0.0.5/x\n    model: gate.pt\n    ca: camera.pem\n"
    for scheme in ("https", "rtsps", "rtmps"):
        assert load(text.format(scheme)).config.cameras[0].ca == Path("camera.pem")
    assert faults(text.format("rtsp")) == [
        'cameras.yaml:5: cameras[0].ca: "camera.pem" is for a camera whose address begins with https://, '
        "rtsps://, rtmps://"
    ]
