"""What is answered at once: help, the version and wrong options, without importing what only a run needs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from nightday.engines import version
from nightday.engines.version import program_version

HEAVY = ("torch", "av", "cv2", "numpy", "pydantic", "yaml", "rich", "uvicorn", "starlette", "openvino")
COMMAND = f"""\
import sys
from nightday.pipeline.cli import main
try:
    main()
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
    ["nightday.pipeline.cli", "nightday.train.cli", "nightday.train.scores.evaluate", "nightday.engines.cli"],
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
    assert name in ("nightday-stream", "nightday-train", "nightday-eval", "nightday-engine")
    assert number.strip() == program_version()


def test_the_version_is_the_installed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program_version() == importlib.metadata.version("nightday-stream")
    monkeypatch.setattr(version, "DISTRIBUTION", "nightday-not-installed")
    assert program_version() == "of a checkout that is not installed"
