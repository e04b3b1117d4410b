"""What must be cheap to import is: a configuration is checked, and ``--help`` answered, without PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "openvino", "cv2", "numpy", "av", "rich")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["", ".errors", ".choices", ".install", ".cli"])
def test_nothing_heavy_is_imported(module: str) -> None:
    code = f"import sys, nightday.engines{module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_help_is_answered_without_anything_heavy() -> None:
    code = f"""
import sys
from nightday.engines.cli import main
try:
    main(["build", "--help"])
except SystemExit as end:
    print(end.code, [name for name in {HEAVY} if name in sys.modules])
"""
    said = run(code)
    assert "--max-batch" in said
    assert said.endswith("0 []\n")


def test_what_is_public_is_imported_when_it_is_asked_for() -> None:
    code = """
import sys
from nightday.engines import Engine, load_engine
import nightday.engines
from nightday.engines.selection.load import load_engine as it
print(load_engine is it, sys.modules["openvino_telemetry"], hasattr(nightday.engines, "nothing"))
"""
    assert run(code) == "True None False\n"
