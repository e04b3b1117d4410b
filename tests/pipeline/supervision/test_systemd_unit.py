"""The unit that the documentation shows, under a real systemd."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.clips import make_clip
from tests.support.real_systemd import CannotRunError, Systemd

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "operating.md"
WAIT = 60.0  # seconds


def unit(folder: Path) -> str:
    """The documented unit, its paths those of this checkout, its log in a file."""
    shown = re.search(r"```ini\n# [^\n]+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    text = shown[1].replace(
        "/srv/nightday/.venv/bin/nightday-stream", f"{sys.executable} -m nightday.pipeline.cli"
    )
    text = text.replace("/srv/nightday", str(folder)).replace(
        "/etc/nightday/gate_password", f"{folder}/password"
    )
    log = f"StandardOutput=append:{folder}/log\nStandardError=append:{folder}/log\n"
    return text.replace("[Install]", f"Environment=PYTHONPATH={ROOT}\n{log}\n[Install]")


def write(folder: Path, *names: str) -> None:
    # The address is never reached; that its password is found is what counts.
    entries: list[dict[str, Any]] = [
        {"name": name, "url": "clip.mp4", "loop": True, "translate": "never"} for name in names
    ]
    entries[0] |= {"outputs": ["rtsp://viewer:${GATE_PASSWORD}@127.0.0.1:9/day"]}
    (folder / "cameras.yaml").write_text(yaml.safe_dump({"cameras": entries}))


def until_logged(folder: Path, event: str) -> dict[str, Any]:
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        for line in (folder / "log").read_text().splitlines():
            if line.startswith("{") and json.loads(line)["event"] == event:
                found: dict[str, Any] = json.loads(line)
                return found
        time.sleep(0.05)
    raise AssertionError((folder / "log").read_text())


@pytest.mark.slow
def test_the_documented_unit_starts_reloads_and_stops(tmp_path: Path) -> None:
    """Start waits until the program is ready, and it can be reloaded: of a type unknown to systemd neither is so."""
    make_clip(tmp_path / "clip.mp4", 30)
    (tmp_path / "password").write_text("s3cret-word\n")
    write(tmp_path, "gate")
    try:
        systemd = Systemd(tmp_path, unit(tmp_path))
        systemd.__enter__()
    except CannotRunError as error:
        pytest.skip(f"no systemd can be run here: {error}")
    try:
        started = systemd.systemctl("start", "it")
        assert started.returncode == 0, started.stderr + (tmp_path / "log").read_text()
        assert (systemd.show("Type"), systemd.show("SubState")) == ("notify", "running")
        assert float(systemd.show("WatchdogUSec").rstrip("min")) == 1
        process = systemd.show("MainPID")
        assert "camera_playing" in (tmp_path / "log").read_text() or until_logged(tmp_path, "camera_playing")

        write(tmp_path, "gate", "yard")
        reloaded = systemd.systemctl("reload", "it")
        assert (reloaded.returncode, reloaded.stderr) == (0, "")
        assert "1 added" in until_logged(tmp_path, "reloaded")["message"]
        assert (systemd.show("MainPID"), systemd.show("NRestarts")) == (process, "0")
        assert (systemd.show("ActiveState"), systemd.show("SubState")) == ("active", "running")

        assert systemd.systemctl("stop", "it").returncode == 0
        assert (systemd.show("Result"), systemd.show("ExecMainStatus")) == ("success", "0")
    finally:
        systemd.close()
    assert "s3cret-word" not in (tmp_path / "log").read_text()
