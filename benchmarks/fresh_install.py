"""The wheel on a machine that never had it: its size, and how soon the demo shows its first day picture.

    python -m benchmarks.fresh_install --json benchmarks/results/fresh_install.json

builds the wheel, installs it without its dependencies into a new virtual environment (which finds the libraries of
the one that runs this), and starts ``nightday-stream --demo`` in an empty folder with an empty cache. What is timed
begins with the command and ends when the first picture was translated and handed to the outputs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

from nightday.engines.cache import machine
from nightday.engines.cores import processors

ROOT = Path(__file__).parents[1]
WHEEL_BAR_MB = 15.0
PICTURE_BAR_S = 60.0
GIVE_UP_S = 180.0


def main(argv: list[str] | None = None) -> int:
    """Measure and print; exit 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fresh_install")
    parser.add_argument("--pip", default=f"{sys.executable} -m pip", help="the pip that builds and installs")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args(argv)
    figures: dict[str, object] = {
        "command": "python -m benchmarks.fresh_install",
        "date": datetime.date.today().isoformat(),
        "hardware": f"{machine.cpu()}; {processors()} processors",
        "python": platform.python_version(),
        "load average before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        wheel = build(args.pip.split(), work)
        figures["wheel_mb"] = size = round(wheel.stat().st_size / 1e6, 2)
        command = install(args.pip.split(), wheel, work / "venv")
        figures["first_day_picture_s"] = seconds = first_day_picture(command, work / "elsewhere")
    figures["load average after"] = round(os.getloadavg()[0], 1)
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 0 if size <= WHEEL_BAR_MB and seconds <= PICTURE_BAR_S else 1


def build(pip: list[str], work: Path) -> Path:
    """The wheel, built from a copy of what git knows, so that no older build gets into it."""
    copy = work / "checkout"
    copy.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x"], cwd=copy, input=archive, check=True)
    command = [
        *pip,
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(work / "wheels"),
        str(copy),
    ]
    subprocess.run(command, check=True)
    (wheel,) = (work / "wheels").glob("*.whl")
    return wheel


def install(pip: list[str], wheel: Path, environment: Path) -> Path:
    """``nightday-stream`` of a new virtual environment."""
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(
        subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    )
    libraries = [
        sysconfig.get_path("purelib"),
        *(path for path in sys.path if path.endswith("site-packages")),
    ]
    (folder / "libraries.pth").write_text("\n".join(dict.fromkeys(libraries)) + "\n")
    subprocess.run([*pip, "--python", str(python), "install", "-q", "--no-deps", str(wheel)], check=True)
    found = [str(python), "-c", "import nightday.pipeline; print(nightday.pipeline.__file__)"]
    where = subprocess.run(found, capture_output=True, text=True, check=True, cwd=environment).stdout.strip()
    assert Path(where).is_relative_to(environment), f"{where} is not what was installed"
    return environment / "bin" / "nightday-stream"


def first_day_picture(command: Path, folder: Path) -> float:
    """Seconds from the command to the first translated picture of the demo."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    environment.pop("PYTHONPATH", None)
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        demo = subprocess.Popen(
            [str(command), "--demo", "--duration", f"{GIVE_UP_S:g}", "--set", f"http.port={port}"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        while demo.poll() is None and time.monotonic() - began < GIVE_UP_S:
            if translated(port):
                return round(time.monotonic() - began, 1)
            time.sleep(0.1)
        raise SystemExit((folder / "log").read_text())
    finally:
        demo.terminate()
        demo.wait()


def translated(port: int) -> bool:
    """Whether a picture was translated and handed to the outputs."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return re.search(r"^nightday_frames_translated_total\{.*\} [1-9]", text, re.MULTILINE) is not None


if __name__ == "__main__":
    raise SystemExit(main())
