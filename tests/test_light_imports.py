"""What is answered without importing what only a run needs: help, versions, wrong options, a configuration."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from nightday.engines import distribution
from nightday.engines.distribution import program_version

HEAVY = ("torch", "av", "cv2", "numpy", "pydantic", "yaml", "rich", "uvicorn", "starlette", "openvino")
COMMAND = f"""\
import sys
from nightday.pipeline.cli import main
try:
    sys.exit(main())
finally:
    print("imported", *sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--help",), 0, "--demo"),
        (("--version",), 0, "nightday-stream "),
        ((), 2, "one of the arguments --cameras --demo is required"),
        (("--cameras", "cameras.yaml", "--demo"), 2, "argument --demo: not allowed with argument --cameras"),
        (("--demo", "--duration", "soon"), 2, "'soon' is no number of seconds above 0"),
        (("--demo", "--verbos", "--demmo"), 2, "unrecognized arguments: --demmo"),
    ],
)
def test_nothing_heavy_is_imported(arguments: tuple[str, ...], status: int, said: str) -> None:
    done = ran(*arguments)
    assert done.returncode == status
    assert said in (done.stderr if status else done.stdout)
    assert done.stderr.splitlines()[-1] == "imported"


@pytest.mark.parametrize(
    "module",
    [
        "nightday.pipeline.cli",
        "nightday.pipeline.outputs.mp4.provenance.cli",
        "nightday.train.cli",
        "nightday.train.scores.evaluate",
        "nightday.engines.cli",
    ],
)
def test_each_command_tells_its_version(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"from {module} import main; main(['--version'])"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    name, number = done.stdout.split(maxsplit=1)
    assert name in (
        "nightday-stream",
        "nightday-verify",
        "nightday-train",
        "nightday-eval",
        "nightday-engine",
    )
    assert number.strip() == program_version()


def test_the_version_is_the_installed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program_version() == importlib.metadata.version("nightday-stream")
    monkeypatch.setattr(distribution, "DISTRIBUTION", "nightday-not-installed")
    assert program_version() == "of a checkout that is not installed"


OF_ENGINES = ("torch", "openvino", "cv2", "numpy", "av", "rich")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["", ".errors", ".choices", ".distribution", ".cli"])
def test_the_engines_import_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, nightday.engines{module}; print([name for name in {OF_ENGINES} if name in sys.modules])"
    )
    assert run(code) == "[]\n"


def test_help_of_engines_is_answered_without_anything_heavy() -> None:
    code = f"""
import sys
from nightday.engines.cli import main
try:
    main(["build", "--help"])
except SystemExit as end:
    print(end.code, [name for name in {OF_ENGINES} if name in sys.modules])
"""
    said = run(code)
    assert "--max-batch" in said
    assert said.endswith("0 []\n")


@pytest.mark.slow
def test_what_is_public_is_imported_when_it_is_asked_for() -> None:
    code = """
import sys
from nightday.engines import Engine, load_engine
import nightday.engines
from nightday.engines.selection.load import load_engine as it
print(load_engine is it, sys.modules["openvino_telemetry"], hasattr(nightday.engines, "nothing"))
"""
    assert run(code) == "True None False\n"


# What flows, what watches it and what every backend is: each of it is imported by processes that never translate.
ROOMS = """
import sys
from importlib import import_module
from pathlib import Path
import nightday.pipeline
root = Path(nightday.pipeline.__path__[0])
for room in ("core", "config", "monitoring"):
    for file in sorted((root / room).rglob("*.py")):
        name = ".".join(("nightday.pipeline", *file.relative_to(root).with_suffix("").parts))
        if name != "nightday.pipeline.monitoring.web.peer":  # imported once somebody watches over WebRTC
            import_module(name)
import_module("nightday.engines.backends.base")
print(*sorted({"torch", "av", "openvino", "onnx", "aiortc"} & set(sys.modules)))
import av
from fractions import Fraction
from nightday.pipeline.core.frame import Frame
assert Frame("gate", av.VideoFrame(64, 48, "yuv420p"), 0, Fraction(1, 25), 0.0, 0.0).size == (48, 64)
# Else the first frame would wait for seconds.
assert "torch" not in sys.modules
"""


def test_what_flows_and_what_watches_are_imported_without_pytorch_and_ffmpeg() -> None:
    assert run(ROOMS) == "\n"


def test_a_wrong_configuration_is_told_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "cameras.yaml").write_text(
        "cameras: [{name: gate, url: 'rtsp://10.0.0.5/s', modle: gate.pt}]\n"
    )
    done = ran("--check", "--cameras", str(tmp_path / "cameras.yaml"))
    assert done.returncode == 2
    assert "modle" in done.stderr
    imported = done.stderr.splitlines()[-1].split()[1:]
    assert not {"torch", "av", "cv2", "openvino", "uvicorn", "starlette"} & set(imported)


CAMERAS = """\
cameras:
  - name: gate
    url: rtsp://10.0.0.5/s
    model: gate.pt
    outputs: ["out/%Y%m%d.mp4", {to: "rtsp://127.0.0.1:8554/gate", view: pair}]
    retention: {days: 7}
    collect: training/{name}
engine: {backend: openvino, precision: int8}
http: {port: 0}
"""
READ = """\
import sys
from nightday.pipeline.config.load import load_config, read_document
(camera,) = load_config("cameras.yaml").config.cameras
assert [output.to.scheme for output in camera.outputs] == ["file", "rtsp"]
read_document("cameras.yaml")
print(*sorted({"torch", "av", "cv2", "numpy"} & set(sys.modules)))
"""


def test_a_configuration_is_read_without_pytorch_ffmpeg_and_opencv(tmp_path: Path) -> None:
    (tmp_path / "cameras.yaml").write_text(CAMERAS)
    (tmp_path / "gate.pt").write_bytes(b"not looked into")
    done = subprocess.run(
        [sys.executable, "-c", READ], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
