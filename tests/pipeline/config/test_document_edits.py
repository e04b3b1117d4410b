"""What is filled in and overridden before a configuration is validated."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from nightday.pipeline.core.camera_url import SHORTEST_SECRET, CameraUrl, redact
from tests.pipeline.config.documents import GOOD, SECRET, Faults, Load, one


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
        assert (a.url.reveal(), a.model) == ("a.mp4", Path("model-a.pt"))
        assert a.detect
        assert a.detect.model == Path("model-a.pt")
        assert [output.to.reveal() for output in a.outputs] == ["{out}/a/%H.mp4"]
        assert b.model == Path("model-b.pt")
        assert b.url.reveal() == "rtsp://b:{x}{name}@h/b?{y}"
        assert [output.to.reveal() for output in b.outputs] == ["rtsp://u:{z}@h/b"]

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

    @pytest.mark.parametrize(
        "value", ["p@ss/w:rd#?", "a b", "${OTHER}", "'\"", "x: y", "*a", "%41", "50%", "%%2F", "é%"]
    )
    def test_any_password_goes_through_as_it_is(self, load: Load, value: str) -> None:
        camera = load(GOOD, GATE_PASSWORD=value).config.cameras[0]
        sent = camera.url.reveal().removeprefix("rtsp://viewer:").removesuffix("@10.0.0.5/stream1")
        assert unquote(sent) == value  # as FFmpeg, and every server, reads it
        assert str(camera.url) == "rtsp://***@10.0.0.5/stream1"
        assert value not in redact(f"{camera.url.reveal()} {value}") or len(value) < SHORTEST_SECRET

    def test_a_percent_sign_is_literal_only_in_the_login_and_only_from_a_variable(self, load: Load) -> None:
        def url(text: str, **variables: str) -> str:
            return load(one(url=f'"{text}"'), **variables).config.cameras[0].url.reveal()

        assert url("rtsp://u:p%41@h/s") == "rtsp://u:p%41@h/s"
        assert url("rtsp://u:%41${P}@h/s", P="%41") == "rtsp://u:%41%2541@h/s"
        assert url("rtsp://${L}@h/s", L="u%41:p%41") == "rtsp://u%2541:p%2541@h/s"
        assert url("rtsp://h/${T}?a=${T}", T="%41") == "rtsp://h/%41?a=%41"
        assert url("rtsp://u:${P}@h/${T}", P="a%", T="b%") == "rtsp://u:a%25@h/b%"
        assert url("${U}", U="rtsp://u:p%41@h/s") == "rtsp://u:p%41@h/s"

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
        assert [output.to.reveal() for output in gate.outputs] == ["a.mp4", "b-%Y.mp4"]
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
