"""The command: its exit status, what it says where, and that it never says a secret."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
import torch
import yaml

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack, synthetic_nights
from nightday.engines.model.settings import GeneratorSettings
from nightday.engines.selection.load import CandidateEngines
from nightday.pipeline import cli
from nightday.pipeline.cli import main
from nightday.pipeline.config.load import LoadedConfig
from nightday.pipeline.config.schema import HttpConfig
from nightday.pipeline.monitoring import log_stream
from nightday.pipeline.monitoring.http_server import WebServer, web_app
from nightday.pipeline.monitoring.log_stream import Screen, set_up_logging
from nightday.pipeline.serving.model_loader import ModelLoader
from nightday.pipeline.serving.setup import Setup
from tests.support.clips import make_clip
from tests.support.media_helpers import camera_pts, ffmpeg_complaints, packet_pts
from tests.support.models import of_another_street
from tests.support.ports import lasting_port
from tests.support.rtsp_server import CLIP, WAIT, RtspServer
from tests.support.watched import FakeRun

SECRET = "Zk9q7Wx2"
STARTING = 60.0  # seconds a process has to import torch and open its camera on a busy machine
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with a small checkpoint; logging is put back as it was."""
    monkeypatch.chdir(tmp_path)
    # What is not written within a second ends the process at once, and on a busy machine that would be the tests'.
    monkeypatch.setattr(Screen.flush, "__defaults__", (STARTING,))
    torch.manual_seed(0)
    save_checkpoint(
        "gate.pt",
        NightToDay(GeneratorSettings(blocks=1, width=4)),
        qualification_frames=pack(synthetic_nights((32, 48))),
    )
    root = logging.getLogger()
    before = root.level, list(root.handlers), threading.excepthook
    ending = sys.excepthook
    levels = {name: logging.getLogger(name).level for name in ("nightday",)}
    yield tmp_path
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    threading.excepthook = before[2]
    sys.excepthook = ending
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(False)


def write(*cameras: dict[str, Any], **rest: Any) -> str:
    text = yaml.safe_dump({"cameras": list(cameras), **rest})
    Path("cameras.yaml").write_text(text)
    return text


def gate(**keys: Any) -> dict[str, Any]:
    return {"name": "gate", "url": str(CLIP), "model": "gate.pt", "translate": "always"} | keys


def faults(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says when it must not start: status 2, nothing on stdout, one line on stderr."""
    assert main(["--cameras", "cameras.yaml", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert SECRET not in said.err
    return said.err.rstrip("\n")


class TestBadInput:
    """Each of these is one line that names the thing, and status 2 before any camera opens."""

    def test_a_missing_configuration(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert faults(capsys) == "cameras.yaml: cannot be read: No such file or directory"

    def test_a_missing_source(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate(url="nowhere.mp4"))
        assert faults(capsys) == 'cameras.yaml:5: cameras[0].url: "nowhere.mp4": no such file'

    def test_a_missing_model(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate(model="nowhere.pt"))
        said = faults(capsys, "--check")
        assert said.startswith('cameras.yaml:2: cameras[0].model: "nowhere.pt": no such checkpoint')

    def test_a_checkpoint_that_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("clip.pt").write_bytes(CLIP.read_bytes()[:5000])
        torch.save({"state": {}}, "other.pt")
        for name in ("clip.pt", "other.pt"):
            write(gate(model=name))
            assert faults(capsys).startswith(f'cameras.yaml:2: cameras[0].model: "{name}": ')

    def test_a_checkpoint_whose_weights_do_not_fit(self, capsys: pytest.CaptureFixture[str]) -> None:
        content = torch.load("gate.pt", weights_only=True)
        content["settings"]["width"] = 8
        torch.save(content, "odd.pt")
        write(gate(model="odd.pt"))
        assert "cameras.yaml:2: cameras[0].model: odd.pt: settings and weights do not fit" in faults(capsys)

    def test_a_wrong_key(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate(trasnlate="night"))
        assert (
            faults(capsys) == 'cameras.yaml:5: cameras[0].trasnlate: unknown key; did you mean "translate"?'
        )

    def test_a_wrong_type(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate(loop=[1]))
        assert faults(capsys) == "cameras.yaml:2: cameras[0].loop: must be true or false, not a list"

    def test_a_missing_variable(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GATE_PASSWORD", raising=False)
        write(gate(url="rtsp://viewer:${GATE_PASSWORD}@10.0.0.5/s"))
        assert faults(capsys).startswith("cameras.yaml:5: cameras[0].url: ${GATE_PASSWORD} is not set; set")

    def test_an_output_folder_that_cannot_be_written(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate(outputs=["/proc/nope/a.mp4"]))
        said = faults(capsys)
        assert said.startswith(
            'cameras.yaml:5: cameras[0].outputs[0]: "/proc/nope/a.mp4": cannot write to /proc/nope'
        )

    def test_a_password_in_a_wrong_address(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate(url=f"rtps://viewer:{SECRET}@10.0.0.5/s"))
        assert '"rtps://***@10.0.0.5/s"' in faults(capsys)

    def test_an_engine_that_cannot_be_had(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate(), engine={"backend": "tensorrt"})
        assert faults(capsys).startswith("cameras.yaml:7: engine.backend: backend tensorrt: ")
        said = faults(capsys, "--set", "engine.backend=eager", "--set", "engine.precision=fp16")
        assert said.startswith("--set: engine.precision: precision fp16: ")

    def test_an_override(self, capsys: pytest.CaptureFixture[str]) -> None:
        write(gate())
        assert faults(capsys, "--set", "engine.backnd=eager") == (
            '--set: engine.backnd: unknown key; did you mean "backend"?'
        )

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "--cameras"),
            (("--cameras", "c.yaml", "--duration", "soon"), "'soon' is no number of seconds above 0"),
            (("--cameras", "c.yaml", "--duration", "-1"), "'-1' is no number"),
            (("--cameras", "c.yaml", "--duration", "nan"), "'nan' is no number"),
            (("--cameras", "c.yaml", "--log-format", "xml"), "xml"),
            (("--cameras", "c.yaml", f"rtsp://u:{SECRET}@h/s"), "rtsp://***@h/s"),
        ],
    )
    def test_arguments(
        self, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert said in error
        assert SECRET not in error

    @pytest.mark.slow
    def test_as_a_process(self) -> None:
        write(gate(url=f"rtps://viewer:{SECRET}@10.0.0.5/s", outputs=["a.avi"]))
        done = subprocess.run(
            [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", "cameras.yaml"],
            capture_output=True,
            text=True,
            timeout=STARTING,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
            "cameras.yaml:5",
            "cameras.yaml:7",
        ]
        assert SECRET not in done.stderr


@pytest.mark.slow
def test_check_prints_the_resolved_configuration_with_secrets_masked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("GATE_PASSWORD", SECRET)
    address = "rtsp://viewer:${GATE_PASSWORD}@127.0.0.1:9/s?token=abcd1234"
    write(gate(url=address), defaults={"outputs": ["out/{name}/%Y.mp4", "rtsp://u:${GATE_PASSWORD}@h/day"]})
    changed = ("--set", "engine.max_batch=3", "--set", "engine.reuse=off")
    assert main(["--cameras", "cameras.yaml", "--check", *changed]) == 0
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    resolved = yaml.safe_load(said.out)
    (camera,) = resolved["cameras"]
    assert camera["url"] == "rtsp://***@127.0.0.1:9/s?token=***"
    assert camera["outputs"] == ["out/gate/%Y.mp4", "rtsp://***@h/day"]
    assert (camera["pace"], camera["segment_seconds"], camera["detect"]) == ("realtime", 60, False)
    assert resolved["engine"] == {"backend": "auto", "precision": "auto", "max_batch": 3, "reuse": "off"}
    assert not (folder / "out").exists()


class TestCheck:
    """``--check`` looks at everything and measures nothing."""

    def test_no_engine_is_measured_or_compiled(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object, **__: object) -> None:
            raise AssertionError("it was measured")

        monkeypatch.setattr(CandidateEngines, "measure", never)
        monkeypatch.setattr("nightday.engines.backends.openvino.engine.OpenVinoEngine.prepare", never)
        write(gate(any_scene=True), engine={"backend": "auto"})
        assert main(["--cameras", "cameras.yaml", "--check"]) == 0
        write(gate(any_scene=True), engine={"backend": "openvino", "precision": "fp32"})
        assert main(["--cameras", "cameras.yaml", "--check"]) == 0
        assert "measuring" not in capsys.readouterr().err

    def test_what_cannot_be_had_and_a_port_that_is_taken_are_told_together(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            write(
                gate(any_scene=True),
                engine={"backend": "eager", "precision": "int8"},
                http={"port": port, "host": "127.0.0.1"},
            )
            assert main(["--cameras", "cameras.yaml", "--check"]) == 2
        precision, taken = capsys.readouterr().err.splitlines()
        assert precision == "cameras.yaml:9: engine.precision: precision int8: eager runs fp32 or bf16"
        assert taken == (
            f"cameras.yaml:12: http.port: cannot listen at 127.0.0.1:{port}: the port is taken; "
            "set http.port to another (0 takes a free one)"
        )

    def test_a_free_port_stays_free(self, capsys: pytest.CaptureFixture[str]) -> None:
        port = lasting_port()
        write(gate(translate="never"), http={"port": port})
        assert main(["--cameras", "cameras.yaml", "--check"]) == 0
        socket.create_server(("127.0.0.1", port)).close()

    def test_a_run_that_is_to_be_reloaded_may_hold_the_port(self, capsys: pytest.CaptureFixture[str]) -> None:
        settings = HttpConfig(port=0)
        server = WebServer(settings, web_app(settings, FakeRun()))
        server.start()
        try:
            port = int(server.address.rpartition(":")[2])
            write(gate(translate="never"), http={"port": port})
            assert main(["--cameras", "cameras.yaml", "--check"]) == 0
        finally:
            assert server.close(WAIT)
        assert f"another nightday-stream listens at port {port}" in capsys.readouterr().err


def test_check_refuses_a_model_of_another_scene(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    clips, weights = ROOT / "benchmarks/clips", ROOT / "weights"
    own, other = clips / "night_a1_barnet_simulated.mp4", clips / "night_tfl_07450_piccadilly.mp4"
    street = of_another_street(folder / "street.pt")
    collected = folder / "training" / "night"
    collected.mkdir(parents=True)
    with av.open(str(other)) as clip:
        picture = next(clip.decode(video=0)).to_ndarray(format="bgr24")
    cv2.imwrite(str(collected / "20260101-010000Z.jpg"), picture)
    write(
        gate(url=str(own), model=str(weights / "a1_barnet.pt")),
        gate(name="file", url=str(other), model=str(weights / "a1_barnet.pt")),
        gate(name="street", url=str(own), model=str(street)),
        gate(
            name="live",
            url="rtsp://127.0.0.1:9/s",
            model=str(street),
            collect={"folder": "training"},
        ),
        gate(name="unseen", url="rtsp://127.0.0.1:9/s", model=str(street)),
        gate(name="meant", url=str(other), model=str(weights / "a1_barnet.pt"), any_scene=True),
    )
    assert main(["--cameras", "cameras.yaml", "--check", "--set", "engine.backend=eager"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    for line, name, model, where in zip(
        lines,
        ("file", "street", "live"),
        (weights / "a1_barnet.pt", street, street),
        (other, own, Path("training/night")),
        strict=True,
    ):
        assert f"{model} was made for another scene than camera {name} shows in {where}" in line
        assert "nightday-train" in line


def test_it_runs_and_says_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(Path("clip.mp4"), 30)
    write(
        gate(url="clip.mp4", pace="fast", outputs=["out/day.mp4"], snapshot="out/pair.png"),
        engine={"backend": "eager"},
    )
    assert main(["--cameras", "cameras.yaml"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == ["wrote out/day.mp4", "wrote out/pair.png"]
    assert said.out.splitlines()[2].startswith(
        "gate: 25 frames translated, 0 passed, none dropped, latency p50 "
    )
    assert "gate: finished" in said.err
    assert camera_pts(Path("out/day.mp4")) == packet_pts(Path("clip.mp4"))


def test_a_hangup_before_the_cameras_run_reloads_once_they_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default it would end the process: here a handler of the test's stands in for that."""
    ended: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: ended.append(number))
    begin, setup, loads = ModelLoader.begin, ModelLoader.setup, []

    def hung_up(self: ModelLoader, loaded: LoadedConfig) -> Setup:
        loads.append(loaded)
        signal.raise_signal(signal.SIGHUP)
        return begin(self, loaded)

    def again(self: ModelLoader, loaded: LoadedConfig, **options: Any) -> Setup:
        loads.append(loaded)
        return setup(self, loaded, **options)

    monkeypatch.setattr(ModelLoader, "begin", hung_up)
    monkeypatch.setattr(ModelLoader, "setup", again)
    write(gate(translate="never", model=None, pace="fast"))
    try:
        assert main(["--cameras", "cameras.yaml"]) == 0
        signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert ended == [signal.SIGHUP]  # the one after the run
    assert len(loads) == 2
    assert "reloaded: 0 cameras changed, 0 added, 0 removed, 1 untouched" in capsys.readouterr().err


@pytest.mark.slow
def test_a_source_that_cannot_be_decoded_fails_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.mp4").write_text("no video")
    write(gate(url="text.mp4"), engine={"backend": "eager"})
    assert main(["--cameras", "cameras.yaml"]) == 1
    said = capsys.readouterr()
    assert "error: gate: failed (decode: " in said.err
    assert "error: no camera delivered a single picture" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_camera_that_is_away_or_refuses_is_retried_while_others_go_on_and_told_at_the_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, log_format: str
) -> None:
    port = lasting_port()
    with RtspServer(record=tmp_path, login="viewer:rightpw1") as server:
        write(
            gate(pace="fast", loop=True),
            gate(name="away", url=f"rtsp://viewer:{SECRET}@127.0.0.1:{port}/s"),
            gate(name="locked", url=server.url("/cam", login=f"viewer:{SECRET}")),
            engine={"backend": "eager"},
        )
        arguments = ["--cameras", "cameras.yaml", "--duration", "4", "--log-format", log_format, "--verbose"]
        assert main(arguments) == 1
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    problems = [
        "away: never delivered a picture (refused: ",
        "locked: never delivered a picture (unauthorised: ",
    ]
    if log_format == "json":
        events = [json.loads(line) for line in said.out.splitlines()]
        assert {"camera_playing", "camera_retrying", "status", "summary"} <= {
            event["event"] for event in events
        }
        told = [event["message"] for event in events if event["event"] == "problem"]
        cameras = events[-1]["cameras"]
        assert cameras["away"]["reason"] == "refused"
        assert cameras["gate"]["translated"] > 0
        assert set(cameras["away"]["reconnects"]) == {"refused"}
        assert cameras["locked"]["reconnects"] == {"unauthorised": 1}
        assert all({"time", "level", "event"} <= event.keys() for event in events)
    else:
        assert "away: retrying (refused: " in said.err
        assert "locked: retrying (unauthorised: " in said.err
        told = [line.removeprefix("error: ") for line in said.err.splitlines() if line.startswith("error: ")]
    for problem, start in zip(told, problems, strict=True):
        assert problem.startswith(start)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_playable_files_within_5_s(folder: Path, number: signal.Signals) -> None:
    make_clip(Path("clip.mp4"), 30)
    write(
        gate(url="clip.mp4", loop=True, outputs=["out/gate-%Y.mp4"]),
        gate(name="yard", url="clip.mp4", loop=True, outputs=["out/yard.mp4"]),
        engine={"backend": "eager"},
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", "cameras.yaml", "--log-format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        writing: set[str] = set()
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "output_writing":
                writing.add(events[-1]["camera"])
            if writing == {"gate", "yard"}:
                break
        began = time.monotonic()
        process.send_signal(number)
        out, error = process.communicate(timeout=WAIT)
        took = time.monotonic() - began
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert error == ""
    assert took < 5.0
    summary = json.loads(out.splitlines()[-1])
    assert (summary["event"], summary["cause"]) == ("summary", "signal")
    assert len(summary["files"]) == 2
    for name in summary["files"]:
        assert packet_pts(folder / name)
        assert ffmpeg_complaints(folder / name) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "libGL.so.1: cannot open shared object file: No such file or directory",
            "OpenCV needs the system library libGL.so.1; install it with: apt-get install libgl1",
        ),
        (
            "No module named 'av'",
            "cannot start: No module named 'av'; install it again with: "
            "pip install -c requirements.lock -e .  (in the checkout)",
        ),
    ],
)
def test_a_missing_library_is_named_with_its_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    def broken(*_: object) -> int:
        raise ImportError(text)

    monkeypatch.setattr(cli, "_run", broken)
    assert main(["--cameras", "cameras.yaml"]) == 1
    assert capsys.readouterr().err == f"{said}\n"


class Terminal:
    """A stream that keeps what it is sent."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.text = ""
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_log_lines_stand_above_the_status_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((20, 24)))
    terminal = Terminal(is_terminal=True)
    screen = Screen(terminal)  # type: ignore[arg-type]
    screen.status("00:01 gate 25.0 fps and more")
    screen.line(f"cannot open rtsp://u:{SECRET}@h/s")
    screen.close()
    status = "00:01 gate 25.0 fp…"
    assert terminal.text == f"{status}\r\x1b[Kcannot open rtsp://***@h/s\n{status}\r\x1b[K"


def test_what_a_server_says_cannot_drive_the_terminal() -> None:
    plain = Terminal(is_terminal=False)
    screen = Screen(plain)  # type: ignore[arg-type]
    set_up_logging(screen)
    logging.getLogger("nightday").warning("it answers 404 \x1b]0;owned\x07\x9b2J – „nein“")
    assert screen.flush()
    assert plain.text[9:] == "warning it answers 404 ?]0;owned??2J – „nein“\n"


def test_what_ends_the_program_is_told_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    plain = Terminal(is_terminal=False)
    set_up_logging(Screen(plain))  # type: ignore[arg-type]
    try:
        raise RuntimeError(f"rtsp://u:{SECRET}@h/s is odd")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert SECRET not in plain.text + said
    assert plain.text[9:] == "critical ended by a fault of its own: RuntimeError: rtsp://***@h/s is odd\n"
    assert said.startswith("Traceback (most recent call last):\n")
    assert said.endswith("RuntimeError: rtsp://***@h/s is odd\n")


def test_elsewhere_the_status_is_a_line_among_others() -> None:
    plain = Terminal(is_terminal=False)
    screen = Screen(plain)  # type: ignore[arg-type]
    screen.status("00:10 gate 25.0 fps")
    screen.close()
    assert plain.text == "00:10 gate 25.0 fps\n"


def test_every_way_into_the_log_is_redacted() -> None:
    stream = Terminal(is_terminal=False)
    screen = Screen(stream, log_format="json")  # type: ignore[arg-type]
    set_up_logging(screen)
    url = f"rtsp://u:{SECRET}@h/s"
    log = logging.getLogger("nightday.any")
    log.info("opening %s", url, extra={"event": "opening", "camera": url})
    try:
        raise OSError(f"no route to {url}")
    except OSError:
        log.exception("lost")
    logging.getLogger("libav.rtsp").warning("method DESCRIBE of %s failed: 401", url)
    thread = threading.Thread(target=lambda: [][int(f"rtsp://u:{SECRET}@h/s" != "")], name="reader")
    thread.start()
    thread.join()
    assert screen.flush()
    entries = [json.loads(line) for line in stream.text.splitlines()]
    assert SECRET not in stream.text
    assert [entry["event"] for entry in entries] == ["opening", "log", "log", "thread_died"]
    assert entries[0]["camera"] == "rtsp://***@h/s"
    assert entries[1]["message"] == "lost: OSError: no route to rtsp://***@h/s"
    assert entries[3]["message"] == "reader died: IndexError: list index out of range"


class Stuck(Terminal):
    """A pipe nobody reads, until ``read`` is set."""

    def __init__(self) -> None:
        super().__init__(is_terminal=False)
        self.full, self.read = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.full.set()
        assert self.read.wait(WAIT)
        return super().write(text)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_log_that_nobody_reads_holds_up_nobody_and_tells_later_what_it_lost(
    monkeypatch: pytest.MonkeyPatch, log_format: log_stream.LogFormat
) -> None:
    monkeypatch.setattr(log_stream, "MOST_WAITING", 2000)
    pipe = Stuck()
    screen = Screen(pipe, log_format=log_format)  # type: ignore[arg-type]
    set_up_logging(screen)
    log = logging.getLogger("nightday.any")

    def chatter() -> None:
        for number in range(500):
            log.info("line %d", number)

    thread = threading.Thread(target=chatter, daemon=True)
    thread.start()
    thread.join(WAIT / 2)
    held_up = thread.is_alive()
    pipe_was_full = pipe.full.is_set()
    told = not held_up and screen.flush(within=0.0)
    pipe.read.set()
    thread.join(WAIT)
    assert not held_up
    assert pipe_was_full
    assert not told
    assert screen.flush(WAIT)
    log.info("read again")
    assert screen.flush(WAIT)
    lines = pipe.text.splitlines()
    kept = [int(line.split("line ")[1].split('"')[0]) for line in lines if "line " in line]
    assert kept == list(range(len(kept)))  # in order, and the first of them
    assert f"{500 - len(kept)} lines dropped: nobody read the log in time" in lines[-2]
    assert "read again" in lines[-1]


@pytest.mark.slow
def test_a_process_whose_words_nobody_reads_does_its_work_and_ends(folder: Path) -> None:
    make_clip(Path("clip.mp4"), 30)
    write(gate(url="clip.mp4", translate="never", model=None, pace="fast", outputs=["out.mp4"]))
    ends = [os.pipe(), os.pipe()]
    for _, end in ends:
        os.set_blocking(end, False)
        with suppress(BlockingIOError):
            while True:
                os.write(end, b"x" * 4096)
        os.set_blocking(end, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", "cameras.yaml"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=ends[0][1],
        stderr=ends[1][1],
    )
    try:
        assert process.wait(STARTING) == 0
    finally:
        process.kill()
        process.wait()
        for end in (*ends[0], *ends[1]):
            os.close(end)
    assert packet_pts(folder / "out.mp4") == packet_pts(Path("clip.mp4"))


@pytest.mark.slow
def test_a_process_whose_reader_is_gone_ends_quietly() -> None:
    make_clip(Path("clip.mp4"), 30)
    write(gate(url="clip.mp4", translate="never", model=None, pace="fast"))
    read, end = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", "cameras.yaml"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=end,
        stderr=subprocess.PIPE,
        text=True,
        timeout=STARTING,
    )
    os.close(end)
    assert done.returncode == 0
    assert "BrokenPipe" not in done.stderr
